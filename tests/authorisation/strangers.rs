//! What those find out who may not: whether a key is there, nobody of another account; and of the
//! key of a ciphertext, nobody at all.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rekeyfs::kms::api::{OPERATIONS, Operation};
use rekeyfs::kms::caller::Caller;
use serde_json::{Value, json};

use crate::accounts::{
    Answer, Fault, OTHER, OWNER, REGION, World, allow, delegation, deny, of_ciphertext, policy,
    root, stranger, text, to,
};
use crate::requests::{NO_GRANT, NO_KEY, Names, ROWS, WITHOUT_KEY, has, names_a_key, with};

/// A key of the first account, with what a stranger may have got hold of.
struct Key {
    what: &'static str,
    arn: String,
    alias: String,
    grant_id: String,
    /// Of symmetric keys that had material.
    ciphertext: Option<String>,
}

impl Key {
    fn id(&self) -> &str {
        self.arn.rsplit('/').next().expect("an ID")
    }
}

/// The account's keys of many kinds and in many states; none lets the other account in.
fn keys(world: &World) -> Vec<Key> {
    let denying = policy(&[delegation(OWNER), to(OTHER, deny("kms:*"))]);
    let sharing = policy(&[delegation(OWNER), to("777788889999", allow("kms:*"))]);
    let kinds = [
        ("an enabled key", json!({})),
        ("a disabled key", json!({})),
        ("a key that is pending deletion", json!({})),
        ("a key that denies", json!({"Policy": denying})),
        ("a key for a third account", json!({"Policy": sharing})),
        (
            "an RSA key",
            json!({"KeySpec": "RSA_2048", "KeyUsage": "ENCRYPT_DECRYPT"}),
        ),
        (
            "a MAC key",
            json!({"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}),
        ),
        ("a key without material", json!({"Origin": "EXTERNAL"})),
    ];
    let owner = root(OWNER);
    let make = |(number, (what, request)): (usize, (&'static str, Value))| {
        let usable = request.get("Origin").is_none();
        let symmetric = usable && request.get("KeySpec").is_none();
        let arn = world.key(request);
        let alias = format!("alias/of/{number}");
        let request = json!({"AliasName": alias, "TargetKeyId": arn});
        world.must(&owner, "CreateAlias", request);
        let key = Key {
            what,
            alias,
            ciphertext: symmetric.then(|| world.seal(&arn, &json!({}))),
            grant_id: if usable {
                let grantee = &owner.principal;
                world.grant(&arn, grantee, &["DescribeKey"], &json!({})).id
            } else {
                NO_GRANT.to_owned()
            },
            arn,
        };
        match what {
            "a disabled key" => {
                world.must(&owner, "DisableKey", json!({"KeyId": key.arn}));
            }
            "a key that is pending deletion" => {
                world.must(&owner, "ScheduleKeyDeletion", json!({"KeyId": key.arn}));
            }
            _ => {}
        }
        key
    };
    kinds.into_iter().enumerate().map(make).collect()
}

/// The same ciphertext, but of material that nobody has.
fn of_unknown_material(ciphertext: &str) -> String {
    let mut bytes = STANDARD.decode(ciphertext).expect("base64");
    // Bytes 5 to 36 are the id of the material.
    bytes[20] ^= 1;
    STANDARD.encode(bytes)
}

/// Requests that differ from one in what else they bring.
fn variations(operation: &Operation, request: &Value, token: &str) -> Vec<Value> {
    let context = json!({"a": "b"});
    let changes = [
        ("GrantTokens", json!(["bad"])),
        ("GrantTokens", json!([STANDARD.encode([7_u8; 108])])),
        ("GrantTokens", json!([token])),
        ("DryRun", json!(true)),
        ("EncryptionAlgorithm", json!("RSAES_OAEP_SHA_256")),
        ("SourceEncryptionAlgorithm", json!("RSAES_OAEP_SHA_256")),
        (
            "DestinationEncryptionAlgorithm",
            json!("RSAES_OAEP_SHA_256"),
        ),
        ("EncryptionContext", context.clone()),
        ("SourceEncryptionContext", context.clone()),
        ("DestinationEncryptionContext", context),
    ];
    let changed = changes
        .into_iter()
        .filter(|(member, _)| has(operation, member))
        .map(|(member, value)| with(request.clone(), &json!({member: value})));
    std::iter::once(request.clone()).chain(changed).collect()
}

/// The answer with what the request named taken out.
fn without(answer: Answer, names: [&str; 2]) -> Answer {
    let clean = |message: String| {
        names
            .iter()
            .fold(message, |message, name| message.replace(*name, "NAME"))
    };
    answer.map_err(|(name, message)| (name, message.map(clean)))
}

/// Somebody of the other account, with a key of his own.
struct Stranger<'a> {
    world: &'a World,
    caller: Caller,
    own: String,
    own_ciphertext: String,
    /// Of a grant on that key.
    token: String,
}

impl<'a> Stranger<'a> {
    fn new(world: &'a World, caller: Caller) -> Self {
        let own = world.key_of(&root(OTHER), json!({}));
        let token = world.grant(&own, &caller.principal, &["Encrypt"], &json!({}));
        Self {
            own_ciphertext: world.seal(&own, &json!({})),
            token: token.token,
            world,
            caller,
            own,
        }
    }

    /// Asks once for what is there and once for what is not, in every variation; what differs.
    fn compare(&self, key: &Key, there: &str, missing: &str, plain: bool) -> Vec<String> {
        let unknown = of_unknown_material(&self.own_ciphertext);
        let mut wrong = Vec::new();
        for row in ROWS {
            let request = |name: &str, ciphertext: &str, grant_id: &str| {
                (row.request)(&Names {
                    key: name,
                    ciphertext,
                    other: &self.own,
                    other_ciphertext: &self.own_ciphertext,
                    grant_id,
                    principal: &self.caller.principal,
                    alias: "alias/strangers",
                })
            };
            let vary = |request: &Value| variations(row.operation(), request, &self.token);
            let ask = |request: &Value| {
                let answer = self
                    .world
                    .call(&self.caller, row.operation, request.clone());
                without(answer, [there, missing])
            };
            let nothing: Vec<Answer> = vary(&request(missing, &unknown, NO_GRANT))
                .iter()
                .map(ask)
                .collect();
            // The key, or something that only somebody who knows the key could have.
            let of_key = key.ciphertext.as_deref().unwrap_or(&unknown);
            let combinations: BTreeSet<_> = [
                (there, unknown.as_str(), NO_GRANT),
                (there, of_key, key.grant_id.as_str()),
                (there, self.own_ciphertext.as_str(), NO_GRANT),
                (missing, of_key, key.grant_id.as_str()),
                (missing, self.own_ciphertext.as_str(), NO_GRANT),
            ]
            .into_iter()
            .collect();
            for (name, ciphertext, grant_id) in combinations {
                let requests = vary(&request(name, ciphertext, grant_id));
                for (request, expected) in requests.iter().zip(&nothing) {
                    let found = ask(request);
                    if found != *expected {
                        wrong.push(format!("{} {request}: {found:?}", row.operation));
                    }
                    if found.is_ok() {
                        wrong.push(format!("{} is allowed", row.operation));
                    }
                }
            }
            let said: Answer = Err(stranger(&self.caller, row.action));
            if plain && nothing.first() != Some(&said) {
                wrong.push(format!("{}: {:?}", row.operation, nothing.first()));
            }
        }
        wrong
    }
}

#[test]
fn every_operation_that_names_a_key_is_tried() {
    for operation in OPERATIONS {
        let tried = ROWS.iter().any(|row| row.operation == operation.name);
        assert_eq!(tried, names_a_key(operation), "{}", operation.name);
        let other = WITHOUT_KEY
            .iter()
            .any(|row| row.operation == operation.name);
        assert_ne!(tried, other, "{}", operation.name);
    }
}

#[test]
fn a_stranger_cannot_tell_a_key_that_is_there_from_one_that_is_not() {
    let world = World::start();
    let eve = world.user(OTHER, "Eve");
    world.let_user(&eve, &[allow("kms:*")]);
    let arn = |name: &str| format!("arn:aws:kms:{REGION}:{OWNER}:{name}");
    let missing = arn(&format!("key/{NO_KEY}"));
    let elsewhere = |arn: &str| arn.replace(REGION, "eu-west-1");
    for key in keys(&world) {
        for caller in [eve.clone(), root(OTHER)] {
            let who = caller.principal.clone();
            let asking = Stranger::new(&world, caller);
            let no_alias = "alias/of/nobody";
            let forms = [
                (key.arn.clone(), missing.clone(), true),
                (arn(&key.alias), arn(no_alias), false),
                (key.id().to_owned(), NO_KEY.to_owned(), false),
                (key.alias.clone(), no_alias.to_owned(), false),
                (elsewhere(&key.arn), elsewhere(&missing), false),
                (
                    elsewhere(&arn(&key.alias)),
                    elsewhere(&arn(no_alias)),
                    false,
                ),
            ];
            for (there, missing, plain) in &forms {
                let wrong = asking.compare(&key, there, missing, *plain);
                let what = key.what;
                assert!(
                    wrong.is_empty(),
                    "{who} finds out about {what}, named {there}:\n{}",
                    wrong.join("\n")
                );
            }
        }
    }
}

#[test]
fn the_names_of_another_accounts_aliases_are_not_found_out() {
    let world = World::start();
    let eve = world.user(OTHER, "Eve");
    world.let_user(&eve, &[allow("kms:*")]);
    let key = world.key(json!({}));
    let own = world.key_of(&root(OTHER), json!({}));
    let request = json!({"AliasName": "alias/theirs", "TargetKeyId": key});
    world.must(&root(OWNER), "CreateAlias", request);
    for (operation, target) in [
        ("DeleteAlias", None),
        ("UpdateAlias", Some(&own)),
        ("CreateAlias", Some(&own)),
    ] {
        let [there, missing] = ["alias/theirs", "alias/nobodys"].map(|name| {
            let mut request = json!({"AliasName": name});
            if let Some(target) = target {
                request["TargetKeyId"] = json!(target);
            }
            without(world.call(&eve, operation, request), [name, name])
        });
        assert_eq!(there, missing, "{operation}");
    }
    let listed = world.must(&eve, "ListAliases", json!({}));
    let listed = listed["Aliases"].as_array().expect("a list");
    // Those that Eve has made just now.
    let names: Vec<_> = listed.iter().map(|alias| text(alias, "AliasArn")).collect();
    let own = |name: &str| format!("arn:aws:kms:{REGION}:{OTHER}:alias/{name}");
    assert_eq!(names, [own("nobodys"), own("theirs")]);
}

#[test]
fn a_ciphertext_says_nothing_of_its_key_to_whoever_may_not() {
    let world = World::start();
    let bob = world.user(OWNER, "Bob");
    let dave = world.user(OWNER, "Dave");
    let frank = world.user(OWNER, "Frank");
    let eve = world.user(OTHER, "Eve");
    let mallory = world.user(OTHER, "Mallory");
    let elsewhere = Caller::root(OWNER, "eu-west-1");
    let far = world.key_of(&elsewhere, json!({}));
    let request = json!({"KeyId": far, "Plaintext": "aGk="});
    let far = text(
        &world.must(&elsewhere, "Encrypt", request),
        "CiphertextBlob",
    );
    let keys = keys(&world);
    let own = world.key(json!({}));
    let theirs = world.key_of(&root(OTHER), json!({}));
    // Each may everything, but with none of these keys; or nothing.
    let on = |resource: &str| json!({"Effect": "Allow", "Action": "kms:*", "Resource": resource});
    world.let_user(&dave, &[on(&own)]);
    world.let_user(&frank, &[deny("kms:*")]);
    world.let_user(&eve, &[allow("kms:*")]);
    let ciphertexts: Vec<(&str, String)> = keys
        .iter()
        .filter_map(|key| Some((key.what, key.ciphertext.clone()?)))
        .chain([("a key of another Region", far)])
        .flat_map(|(what, ciphertext)| {
            let unknown = of_unknown_material(&ciphertext);
            [(what, ciphertext), ("no key", unknown)]
        })
        .collect();
    assert_eq!(ciphertexts.len(), 12);
    let missing = theirs.replace(theirs.rsplit('/').next().expect("an ID"), NO_KEY);
    for caller in [&bob, &dave, &frank, &eve, &mallory, &root(OTHER)] {
        for (what, ciphertext) in &ciphertexts {
            let expect = |operation: &str, request: Value, expected: Fault| {
                let place = format!("{operation} by {} of {what}", caller.principal);
                let dry = with(request.clone(), &json!({"DryRun": true}));
                for request in [request, dry] {
                    let answer = world.call(caller, operation, request);
                    assert_eq!(answer, Err(expected.clone()), "{place}");
                }
            };
            let request = json!({"CiphertextBlob": ciphertext});
            expect("Decrypt", request.clone(), of_ciphertext(caller, "Decrypt"));
            let context = with(request.clone(), &json!({"EncryptionContext": {"a": "b"}}));
            expect("Decrypt", context, of_ciphertext(caller, "Decrypt"));
            // Whatever the destination is: the source comes first.
            for destination in [&own, &theirs, &missing, &"alias/nobodys".to_owned()] {
                let request = with(request.clone(), &json!({"DestinationKeyId": destination}));
                let expected = of_ciphertext(caller, "ReEncryptFrom");
                expect("ReEncrypt", request, expected);
            }
            let bad = with(request, &json!({"GrantTokens": ["bad"]}));
            expect("Decrypt", bad, ("InvalidGrantTokenException", None));
        }
    }
}

#[test]
fn a_key_of_ones_own_does_not_find_out_whose_a_ciphertext_is() {
    let world = World::start();
    let own = world.key_of(&root(OTHER), json!({}));
    let message =
        "The key ID in the request does not identify a CMK that can perform this operation.";
    let expected = ("IncorrectKeyException", Some(message.to_owned()));
    for key in keys(&world) {
        let Some(ciphertext) = key.ciphertext else {
            continue;
        };
        for ciphertext in [of_unknown_material(&ciphertext), ciphertext] {
            for (operation, request) in [
                (
                    "Decrypt",
                    json!({"KeyId": own, "CiphertextBlob": ciphertext}),
                ),
                (
                    "ReEncrypt",
                    json!({
                        "SourceKeyId": own,
                        "CiphertextBlob": ciphertext,
                        "DestinationKeyId": own,
                    }),
                ),
            ] {
                let answer = world.call(&root(OTHER), operation, request);
                assert_eq!(answer, Err(expected.clone()), "{operation}, {}", key.what);
            }
        }
    }
}
