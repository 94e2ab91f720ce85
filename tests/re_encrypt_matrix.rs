//! ReEncrypt answers every combination of its parameters and of the keys' states by the rules.
//!
//! The expected answers come from `tables` (facts) and `rules` (an ordered list of faults) alone.
//! A row asserts the exception with its text, or all members of the response and what opens the
//! new ciphertext.
//!
//! # What is combined, and what is left out
//!
//! A *source* is a kind of key × its state × how the ciphertext and SourceEncryptionContext agree
//! × what SourceKeyId says × SourceEncryptionAlgorithm. A *destination* is a kind of key × its
//! state × DestinationEncryptionContext × DestinationEncryptionAlgorithm × what DestinationKeyId
//! says. The product of all sources and destinations has some millions of rows. It is thinned out
//! along the one seam that the rules have: every fault of the source is found before any fault of
//! the destination, and of the source only the size of the plaintext and the identity of the key
//! matter afterwards. So the parts are, each with and without DryRun:
//!
//! 1. every source × one destination of every outcome, the source's own key among them;
//! 2. every destination × one source of every outcome;
//! 3. every destination under each of its names, and names of nothing × one good source;
//! 4. every key × itself as the destination: rewrap, other context, other algorithm;
//! 5. every kind × every kind × plaintexts around the destination's limit.
//!
//! Inside a part two kinds of rows are left out. An asymmetric ciphertext has no context, so rows
//! that differ from others only in it are not repeated. PendingImport is a state of symmetric keys
//! that were not rotated: as a source the material was imported, used and deleted; as a
//! destination (and as a wrong source) it was never there.

mod support;

#[path = "support/by_name.rs"]
mod by_name;
#[path = "re_encrypt_matrix/rules.rs"]
mod rules;
#[path = "re_encrypt_matrix/tables.rs"]
mod tables;
#[path = "re_encrypt_matrix/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::rc::Rc;

use by_name::{Service, text};
use rekeyfs::kms::api::Operation;
use rules::{Case, Destination, Key, Named, PRECEDENCE, SUCCESS, Source, expected, limit};
use serde_json::json;
use tables::{
    DESTINATION_CONTEXTS, GIVEN_ALGORITHMS, KINDS, Kind, SHA_1, SHA_256, SM2PKE, SOURCE_CONTEXTS,
    SYMMETRIC, SourceContext, UNKNOWN,
};
use world::{SourceKey, World, check_success};

/// How many wrong rows are shown.
const SHOWN: usize = 20;

/// Runs rows and counts them.
struct Matrix<'a> {
    service: &'a Service,
    operation: &'static Operation,
    /// How many rows each rule decided.
    decided: BTreeMap<&'static str, usize>,
    /// How many rows each part has.
    parts: Vec<(&'static str, usize)>,
    wrong: usize,
    shown: Vec<String>,
}

impl<'a> Matrix<'a> {
    fn new(service: &'a Service) -> Self {
        Self {
            service,
            operation: Operation::find("ReEncrypt").expect("ReEncrypt is an operation"),
            decided: BTreeMap::new(),
            parts: Vec::new(),
            wrong: 0,
            shown: Vec::new(),
        }
    }

    fn begin(&mut self, part: &'static str) {
        self.parts.push((part, 0));
    }

    /// Runs a source and a destination with and without DryRun.
    fn row(&mut self, source: &Source, destination: &Destination) {
        for dry_run in [false, true] {
            let case = Case {
                source,
                destination,
                dry_run,
            };
            let (rule, fault) = expected(&case);
            *self.decided.entry(rule).or_default() += 1;
            if let Some((_, rows)) = self.parts.last_mut() {
                *rows += 1;
            }
            let answer = self.service.run(self.operation, case.request());
            let verdict = match (&fault, &answer) {
                (None, Ok(response)) => check_success(self.service, &case, response),
                (Some(fault), Err(got)) if fault == got => Ok(()),
                _ => Err(format!("{answer:?}, expected {fault:?}")),
            };
            if let Err(complaint) = verdict {
                self.wrong += 1;
                if self.shown.len() < SHOWN {
                    let dry = if dry_run { ", dry run" } else { "" };
                    let (from, to) = (&source.label, &destination.label);
                    self.shown.push(format!(
                        "from {from} to {to}{dry} [{rule}]:\n    {complaint}"
                    ));
                }
            }
        }
    }

    fn finish(self) {
        let ran: usize = self.parts.iter().map(|(_, rows)| rows).sum();
        println!("ReEncrypt: {ran} combinations");
        for (part, rows) in &self.parts {
            println!("  {rows:>7}  {part}");
        }
        println!("decided by");
        for name in PRECEDENCE.iter().map(|rule| rule.0).chain([SUCCESS]) {
            let rows = self.decided.get(name).copied().unwrap_or(0);
            println!("  {rows:>7}  {name}");
            assert_ne!(rows, 0, "no row is decided by: {name}");
        }
        assert_eq!(
            self.wrong,
            0,
            "of {ran} rows; the first ones:\n{}",
            self.shown.join("\n")
        );
    }
}

fn named(key: &Rc<Key>) -> Named {
    Named::Key(key.arn.clone(), Rc::clone(key))
}

/// Every name of a key.
fn names_of(key: &Rc<Key>) -> impl Iterator<Item = (&'static str, Named)> {
    key.names()
        .map(|(form, name)| (form, Named::Key(name, Rc::clone(key))))
        .into_iter()
}

fn unknown() -> impl Iterator<Item = (&'static str, Named)> {
    UNKNOWN
        .into_iter()
        .map(|(form, name, message)| (form, Named::Nothing(name, message)))
}

fn source_context(name: &str) -> &'static SourceContext {
    SOURCE_CONTEXTS
        .iter()
        .find(|row| row.name == name)
        .expect("a row of the table")
}

/// A source of `made`'s key, by whatever name.
fn make_source(
    made: &SourceKey,
    context: &'static SourceContext,
    (form, named): (&str, Named),
    algorithm: Option<&'static str>,
) -> Source {
    let (kind, state) = (made.kind.name, made.key.state);
    Source {
        label: format!(
            "{state} {kind}, context {}, {form}, {algorithm:?}",
            context.name
        ),
        sealed: Rc::clone(made.sealed_with(context.sealed_with)),
        named,
        context,
        algorithm,
    }
}

/// A source in which everything is as it was made.
fn good_source(made: &SourceKey) -> Source {
    let right = ("right key", named(&made.key));
    make_source(
        made,
        source_context("none"),
        right,
        Some(made.kind.algorithm),
    )
}

/// All that SourceKeyId can say about a ciphertext of `made`.
fn source_names(world: &World, made: &SourceKey) -> Vec<(String, Named)> {
    let other_kind = if made.kind.algorithm == SYMMETRIC {
        rsa()
    } else {
        symmetric()
    };
    let mut names = vec![("omitted".to_owned(), Named::Omitted)];
    let right = names_of(&made.key);
    names.extend(right.map(|(form, name)| (form.to_owned(), name)));
    for wrong in &world.destinations {
        let key = &wrong.key;
        if wrong.kind.name == made.kind.name {
            names.push((format!("wrong {} key", key.state), named(key)));
        } else if wrong.kind.name == other_kind.name && key.state == "Enabled" {
            names.push((format!("wrong {} key", key.spec), named(key)));
        }
    }
    for key in &world.others {
        names.push((format!("wrong {} key", key.usage), named(key)));
    }
    names.extend(unknown().map(|(form, name)| (form.to_owned(), name)));
    names
}

fn every_source(world: &World) -> Vec<Source> {
    let mut all = Vec::new();
    for made in &world.sources {
        let names = source_names(world, made);
        for context in &SOURCE_CONTEXTS {
            let repeats = context.given.is_none_or(<[_]>::is_empty);
            let is_bound = !context.sealed_with.is_empty();
            if made.kind.algorithm != SYMMETRIC && is_bound && repeats {
                continue;
            }
            for (form, name) in &names {
                for algorithm in GIVEN_ALGORITHMS {
                    all.push(make_source(made, context, (form, name.clone()), algorithm));
                }
            }
        }
    }
    all
}

fn kind(name: &str) -> &'static Kind {
    KINDS
        .iter()
        .find(|kind| kind.name == name)
        .expect("a row of the table")
}

fn symmetric() -> &'static Kind {
    kind("symmetric")
}

fn rsa() -> &'static Kind {
    kind("RSA SHA-256")
}

fn source_of_every_outcome(world: &World) -> Vec<Source> {
    let none = source_context("none");
    let enabled = |kind: &Kind| world.source_key(kind, "Enabled");
    let (made, made_rsa, made_sm2) = (enabled(symmetric()), enabled(rsa()), enabled(kind("SM2")));
    let right = |made: &SourceKey| ("right key", named(&made.key));
    let signing = &world.others[0];
    let stranger = &world.destination_key(symmetric(), "Enabled").key;
    let mut all = vec![
        // The faults, in the order of their rules.
        make_source(made_rsa, none, ("omitted", Named::Omitted), Some(SHA_256)),
        make_source(made_rsa, none, right(made_rsa), None),
        make_source(made, none, unknown().next().expect("a row"), None),
        make_source(made, none, ("wrong key", named(stranger)), None),
        good_source(world.source_key(symmetric(), "Disabled")),
        good_source(world.source_key(symmetric(), "PendingDeletion")),
        good_source(world.source_key(symmetric(), "PendingImport")),
        make_source(
            made_rsa,
            none,
            ("signing key", named(signing)),
            Some(SHA_256),
        ),
        make_source(made, none, right(made), Some(SHA_256)),
        make_source(
            made_sm2,
            source_context("same"),
            right(made_sm2),
            Some(SM2PKE),
        ),
        make_source(made, source_context("wrong"), right(made), None),
        make_source(made_rsa, none, right(made_rsa), Some(SHA_1)),
        // A plaintext that is too large for every asymmetric key.
        sized_source(world, symmetric(), 4096),
    ];
    all.extend(KINDS.iter().map(|kind| good_source(enabled(kind))));
    all
}

/// A good source with a plaintext of `size` bytes.
fn sized_source(world: &World, kind: &Kind, size: usize) -> Source {
    let made = world.source_key(kind, "Enabled");
    let sealed = world.seal(made, size);
    let source = good_source(made);
    Source {
        label: format!("{}, {size} bytes", source.label),
        sealed,
        ..source
    }
}

fn make_destination(
    label: &str,
    named: Named,
    (context, pairs): (&str, Option<tables::Pairs>),
    algorithm: Option<&'static str>,
) -> Destination {
    Destination {
        label: format!("{label}, context {context}, {algorithm:?}"),
        named,
        context: pairs,
        algorithm,
    }
}

/// Every context × algorithm, for a destination by one name.
fn destinations_named(label: &str, named: &Named) -> Vec<Destination> {
    let mut all = Vec::new();
    for context in DESTINATION_CONTEXTS {
        for algorithm in GIVEN_ALGORITHMS {
            all.push(make_destination(label, named.clone(), context, algorithm));
        }
    }
    all
}

fn destination_of_every_outcome(world: &World) -> Vec<Destination> {
    let [none, _, kept, _] = DESTINATION_CONTEXTS;
    let named_kind = |kind: &Kind, state: &str| named(&world.destination_key(kind, state).key);
    let to = |state: &str| make_destination(state, named_kind(symmetric(), state), none, None);
    let mut all = vec![
        // The faults, in the order of their rules.
        make_destination(
            "an unknown key",
            unknown().next().expect("a row").1,
            none,
            None,
        ),
        to("Disabled"),
        to("PendingDeletion"),
        to("PendingImport"),
        make_destination("RSA", named_kind(rsa(), "Enabled"), none, None),
        make_destination("RSA", named_kind(rsa(), "Enabled"), kept, Some(SHA_256)),
        // Success with a context.
        make_destination("symmetric", named_kind(symmetric(), "Enabled"), kept, None),
    ];
    for key in &world.others {
        all.push(make_destination(key.usage, named(key), none, Some(SHA_256)));
    }
    for kind in &KINDS {
        let enabled = named_kind(kind, "Enabled");
        all.push(make_destination(
            kind.name,
            enabled,
            none,
            Some(kind.algorithm),
        ));
    }
    all
}

fn to_itself(source: &Source) -> Destination {
    let sealed = &source.sealed;
    let algorithm = Some(sealed.algorithm);
    make_destination(
        "itself",
        named(&sealed.key),
        DESTINATION_CONTEXTS[0],
        algorithm,
    )
}

fn every_source_to_every_outcome(world: &World, matrix: &mut Matrix<'_>) {
    matrix.begin("every source × destinations of every outcome");
    let destinations = destination_of_every_outcome(world);
    for source in every_source(world) {
        let itself = to_itself(&source);
        for destination in destinations.iter().chain([&itself]) {
            matrix.row(&source, destination);
        }
    }
}

fn every_outcome_to_every_destination(world: &World, matrix: &mut Matrix<'_>) {
    matrix.begin("every destination × sources of every outcome");
    let sources = source_of_every_outcome(world);
    for made in &world.destinations {
        let label = format!("{} {}", made.key.state, made.kind.name);
        for destination in destinations_named(&label, &named(&made.key)) {
            for source in &sources {
                matrix.row(source, &destination);
            }
        }
    }
}

fn every_name_of_every_destination(world: &World, matrix: &mut Matrix<'_>) {
    matrix.begin("every destination under every name × a good source");
    let source = good_source(world.source_key(symmetric(), "Enabled"));
    let mut names: Vec<(String, Named)> = Vec::new();
    for made in &world.destinations {
        let (state, kind) = (made.key.state, made.kind.name);
        let forms = names_of(&made.key);
        names.extend(forms.map(|(form, name)| (format!("{state} {kind} by {form}"), name)));
    }
    names.extend(unknown().map(|(form, name)| (form.to_owned(), name)));
    for (label, name) in names {
        for destination in destinations_named(&label, &name) {
            matrix.row(&source, &destination);
        }
    }
}

fn every_key_to_itself(world: &World, matrix: &mut Matrix<'_>) {
    matrix.begin("every key × itself");
    for made in &world.sources {
        for context in SOURCE_CONTEXTS.iter().filter(|context| context.opens) {
            let right = ("right key", named(&made.key));
            let source = make_source(made, context, right, Some(made.kind.algorithm));
            for destination in destinations_named("itself", &named(&made.key)) {
                matrix.row(&source, &destination);
            }
        }
    }
}

fn every_size_to_every_kind(world: &World, matrix: &mut Matrix<'_>) {
    matrix.begin("every kind × every kind × sizes around the limit");
    let most = |kind: &Kind| limit(kind.spec, kind.algorithm).expect("a row of the table");
    for to in &KINDS {
        let key = named(&world.destination_key(to, "Enabled").key);
        let algorithm = Some(to.algorithm);
        let destination = make_destination(to.name, key, DESTINATION_CONTEXTS[0], algorithm);
        for from in &KINDS {
            for size in [1, most(to) - 1, most(to), most(to) + 1] {
                if size <= most(from) {
                    matrix.row(&sized_source(world, from, size), &destination);
                }
            }
        }
    }
}

#[test]
fn re_encrypt_answers_every_combination_by_the_rules() {
    let world = World::build();
    let mut matrix = Matrix::new(&world.service);
    every_source_to_every_outcome(&world, &mut matrix);
    every_outcome_to_every_destination(&world, &mut matrix);
    every_name_of_every_destination(&world, &mut matrix);
    every_key_to_itself(&world, &mut matrix);
    every_size_to_every_kind(&world, &mut matrix);
    matrix.finish();
}

/// AWS KMS API Reference, "ReEncrypt", DryRunModifiers and CiphertextBlob. The texts of the
/// ValidationExceptions are not known, so that only their name is compared.
#[test]
fn a_dry_run_can_leave_the_ciphertext_out() {
    let service = Service::start();
    let (from, to) = (service.create(json!({})), service.create(json!({})));
    let sealed = service.must("Encrypt", json!({"KeyId": from, "Plaintext": "aGk="}));
    let blob = text(&sealed, "CiphertextBlob");
    let ignore = json!(["IGNORE_CIPHERTEXT"]);
    let (dry, invalid) = ("DryRunOperationException", "ValidationException");
    #[rustfmt::skip]
    let rows = [
        (json!({"DryRun": true, "DryRunModifiers": ignore, "SourceKeyId": from}), dry),
        (json!({"DryRun": true, "DryRunModifiers": ignore, "SourceKeyId": from, "CiphertextBlob": blob}), dry),
        (json!({"DryRun": true, "DryRunModifiers": ignore, "SourceKeyId": from, "CiphertextBlob": "AAAA"}), dry),
        (json!({"DryRun": true, "DryRunModifiers": ignore}), invalid),
        (json!({"DryRun": true, "SourceKeyId": from}), invalid),
        (json!({"DryRunModifiers": ignore, "SourceKeyId": from, "CiphertextBlob": blob}), invalid),
        (json!({"DryRun": false, "DryRunModifiers": ignore, "SourceKeyId": from, "CiphertextBlob": blob}), invalid),
        (json!({"SourceKeyId": from}), invalid),
    ];
    for (mut request, name) in rows {
        request["DestinationKeyId"] = json!(to);
        let got = service.call("ReEncrypt", request.clone());
        let got = got.expect_err("no row succeeds").0;
        assert_eq!(got, name, "{request}");
    }
}
