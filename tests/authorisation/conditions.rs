//! The condition keys of ReEncrypt: kms:ReEncryptFrom is judged with what is said of the source,
//! kms:ReEncryptTo with what is said of the destination.

use std::net::IpAddr;

use rekeyfs::kms::caller::{Caller, Source};
use serde_json::{Value, json};

use crate::accounts::{OTHER, OWNER, World, allow, is_let_in, root, text, to, when};
use crate::requests::{PLAINTEXT, with};

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Allowed,
    /// Refused for want of kms:ReEncryptFrom.
    NoFrom,
    /// Refused for want of kms:ReEncryptTo.
    NoTo,
    /// As `NoFrom`, of a source that only the ciphertext names.
    NoKey,
}

use Outcome::{Allowed, NoFrom, NoKey, NoTo};

/// What it is about; conditions on kms:ReEncryptFrom and on kms:ReEncryptTo; what is different in
/// the request; and the outcome.
type Case = (&'static str, Value, Value, Value, Outcome);

/// Keys, ciphertexts, and Carol, who may what the conditions let her.
struct Keys {
    world: World,
    carol: Caller,
    /// With the aliases `alias/source` and `alias/second`, tagged Team = blue.
    source: String,
    /// With the alias `alias/target`, tagged Team = red.
    target: String,
    rsa: String,
}

fn equals(key: &str, value: &str) -> Value {
    json!({"StringEquals": {key: value}})
}

impl Keys {
    fn make() -> Self {
        let world = World::start();
        let carol = world.user(OWNER, "Carol");
        let tagged = |team: &str| json!({"Tags": [{"TagKey": "Team", "TagValue": team}]});
        let source = world.key(tagged("blue"));
        let target = world.key(tagged("red"));
        let rsa = world.key(json!({"KeySpec": "RSA_2048", "KeyUsage": "ENCRYPT_DECRYPT"}));
        for (name, key) in [
            ("alias/source", &source),
            ("alias/second", &source),
            ("alias/target", &target),
        ] {
            let request = json!({"AliasName": name, "TargetKeyId": key});
            world.must(&root(OWNER), "CreateAlias", request);
        }
        Self {
            world,
            carol,
            source,
            target,
            rsa,
        }
    }

    /// From the source, with a context, to the target, with another.
    fn request(&self) -> Value {
        json!({
            "CiphertextBlob": self.world.seal(&self.source, &json!({"Project": "Alpha"})),
            "SourceKeyId": self.source,
            "SourceEncryptionContext": {"Project": "Alpha"},
            "DestinationKeyId": self.target,
            "DestinationEncryptionContext": {"Level": "3A"},
        })
    }

    fn run(&self, changes: &Value) -> Outcome {
        let answer = self
            .world
            .call(&self.carol, "ReEncrypt", with(self.request(), changes));
        let message = match &answer {
            Ok(_) => return Allowed,
            Err(("AccessDeniedException", Some(message))) => message,
            Err(fault) => panic!("{changes}: {fault:?}"),
        };
        let refused = |action: &str, on: &str| {
            let user = &self.carol.principal;
            let start = format!("User: {user} is not authorized to perform: {action} on {on}");
            message.starts_with(&start)
        };
        if refused("kms:ReEncryptFrom", "resource: ") {
            NoFrom
        } else if refused("kms:ReEncryptTo", "resource: ") {
            NoTo
        } else {
            assert!(
                refused("kms:ReEncryptFrom", "the resource associated"),
                "{message}"
            );
            NoKey
        }
    }

    fn let_key_policies(&self, statements: &[Value]) {
        for key in [&self.source, &self.target, &self.rsa] {
            self.world.let_key(key, statements);
        }
    }

    /// The outcome with the conditions in Carol's identity policy, and in key policies.
    fn both(&self, from: &Value, into: &Value, changes: &Value) -> [Outcome; 2] {
        let statements = [
            when(from, allow("kms:ReEncryptFrom")),
            when(into, allow("kms:ReEncryptTo")),
        ];
        self.let_key_policies(&[]);
        self.world.let_user(&self.carol, &statements);
        let by_identity = self.run(changes);

        self.world.let_user(&self.carol, &[allow("kms:ListKeys")]);
        let hers = |statement: Value| to(&self.carol.principal, statement);
        self.let_key_policies(&statements.map(hers));
        [by_identity, self.run(changes)]
    }

    fn check(&self, cases: &[Case]) {
        let wrong: Vec<String> = cases
            .iter()
            .filter_map(|(what, from, into, changes, expected)| {
                let found = self.both(from, into, changes);
                (found != [*expected; 2]).then(|| format!("{what}: {found:?}, not {expected:?}"))
            })
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

#[test]
fn each_side_is_judged_with_its_own_context() {
    let keys = Keys::make();
    let none = || json!({});
    let all =
        |names: &[&str]| json!({"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": names}});
    let any =
        |names: &[&str]| json!({"ForAnyValue:StringEquals": {"kms:EncryptionContextKeys": names}});
    let some = || json!({"Null": {"kms:EncryptionContextKeys": "false"}});
    let hers = || equals("kms:EncryptionContext:Owner", "${aws:username}");
    let owned = |name: &str| {
        let context = json!({"Owner": name});
        json!({
            "CiphertextBlob": keys.world.seal(&keys.source, &context),
            "SourceEncryptionContext": context,
        })
    };
    let project = |value: &str| equals("kms:EncryptionContext:Project", value);
    let level = |value: &str| equals("kms:EncryptionContext:Level", value);
    let bare = || json!({"DestinationEncryptionContext": null});
    let empty = || json!({"DestinationEncryptionContext": {}});
    #[rustfmt::skip]
    let cases = [
        ("nothing is asked",            none(),             none(),           none(),         Allowed),
        ("the source's pair",           project("Alpha"),   none(),           none(),         Allowed),
        ("another value",               project("Beta"),    none(),           none(),         NoFrom),
        ("the value's case",            project("alpha"),   none(),           none(),         NoFrom),
        ("the key's case is ignored",
            equals("kms:EncryptionContext:PROJECT", "Alpha"), none(),         none(),         Allowed),
        ("not the destination's pair",  level("3A"),        none(),           none(),         NoFrom),
        ("the destination's pair",      none(),             level("3A"),      none(),         Allowed),
        ("not the source's pair",       none(),             project("Alpha"), none(),         NoTo),
        ("each its own",                project("Alpha"),   level("3A"),      none(),         Allowed),
        ("only these keys",             all(&["Project"]),  all(&["Level"]),  none(),         Allowed),
        ("other keys",                  all(&["Level"]),    none(),           none(),         NoFrom),
        ("one of these keys",           any(&["X", "Project"]), none(),       none(),         Allowed),
        ("none of these keys",          none(),             any(&["Project"]), none(),        NoTo),
        ("keys have a case",            any(&["project"]),  none(),           none(),         NoFrom),
        ("a context is there",          some(),             some(),           none(),         Allowed),
        ("no context is there",         some(),             some(),           bare(),         NoTo),
        ("an empty one is none",        some(),             some(),           empty(),        NoTo),
        ("all of no keys",              none(),             all(&["X"]),      bare(),         Allowed),
        ("any of no keys",              none(),             any(&["X"]),      bare(),         NoTo),
        ("the user's own",              hers(),             none(),           owned("Carol"), Allowed),
        ("another user's",              hers(),             none(),           owned("Bob"),   NoFrom),
    ];
    keys.check(&cases);
}

#[test]
fn each_side_is_judged_with_its_own_algorithm_and_key() {
    let keys = Keys::make();
    let none = || json!({});
    let algorithm = |name: &str| equals("kms:EncryptionAlgorithm", name);
    let symmetric = || algorithm("SYMMETRIC_DEFAULT");
    let oaep = || algorithm("RSAES_OAEP_SHA_256");
    let spec = |name: &str| equals("kms:KeySpec", name);
    let usage = |name: &str| equals("kms:KeyUsage", name);
    let origin = |name: &str| equals("kms:KeyOrigin", name);
    let team = |name: &str| equals("aws:ResourceTag/Team", name);
    let to_rsa = || {
        json!({
            "DestinationKeyId": keys.rsa,
            "DestinationEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
            "DestinationEncryptionContext": null,
        })
    };
    let encrypt = json!({
        "KeyId": keys.rsa,
        "Plaintext": PLAINTEXT,
        "EncryptionAlgorithm": "RSAES_OAEP_SHA_256",
    });
    let sealed = keys.world.must(&root(OWNER), "Encrypt", encrypt);
    let from_rsa = || {
        json!({
            "CiphertextBlob": sealed["CiphertextBlob"],
            "SourceKeyId": keys.rsa,
            "SourceEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
            "SourceEncryptionContext": null,
        })
    };
    #[rustfmt::skip]
    let cases = [
        ("both by default",           symmetric(),  symmetric(),           none(),     Allowed),
        ("not the source's",          oaep(),       none(),                none(),     NoFrom),
        ("not the destination's",     none(),       oaep(),                none(),     NoTo),
        ("to RSA",                    symmetric(),  oaep(),                to_rsa(),   Allowed),
        ("to RSA, source",            oaep(),       none(),                to_rsa(),   NoFrom),
        ("to RSA, destination",       none(),       symmetric(),           to_rsa(),   NoTo),
        ("from RSA",                  oaep(),       symmetric(),           from_rsa(), Allowed),
        ("from RSA, source",          symmetric(),  none(),                from_rsa(), NoFrom),
        ("from RSA, destination",     none(),       oaep(),                from_rsa(), NoTo),
        ("key spec, source",          spec("SYMMETRIC_DEFAULT"), none(),   to_rsa(),   Allowed),
        ("other spec, source",        spec("RSA_2048"), none(),            to_rsa(),   NoFrom),
        ("key spec, destination",     none(),       spec("RSA_2048"),      to_rsa(),   Allowed),
        ("other spec, destination",   none(),       spec("SYMMETRIC_DEFAULT"), to_rsa(), NoTo),
        ("key usage",                 usage("ENCRYPT_DECRYPT"), usage("ENCRYPT_DECRYPT"), none(), Allowed),
        ("other usage",               usage("SIGN_VERIFY"), none(),        none(),     NoFrom),
        ("key origin",                origin("AWS_KMS"), origin("AWS_KMS"), none(),    Allowed),
        ("other origin",              none(),       origin("EXTERNAL"),    none(),     NoTo),
        ("each its own tag",          team("blue"), team("red"),           none(),     Allowed),
        ("not the destination's tag", team("red"),  none(),                none(),     NoFrom),
        ("not the source's tag",      none(),       team("blue"),          none(),     NoTo),
        ("no tag",                    none(),       team("red"),           to_rsa(),   NoTo),
    ];
    keys.check(&cases);
}

#[test]
fn each_side_is_judged_with_its_own_alias() {
    let keys = Keys::make();
    let none = || json!({});
    let alias = |name: &str| equals("kms:RequestAlias", name);
    let source = |name: &str| json!({"SourceKeyId": name});
    let target = |name: &str| json!({"DestinationKeyId": name});
    let arn = |name: &str| format!("arn:aws:kms:us-east-1:{OWNER}:{name}");
    let aliases = json!({"SourceKeyId": "alias/source", "DestinationKeyId": "alias/target"});
    let (from, into) = ("alias/source", "alias/target");
    #[rustfmt::skip]
    let cases = [
        ("by alias",                 alias(from),         none(),      source(from),         Allowed),
        ("by alias ARN",             alias(from),         none(),      source(&arn(from)),   Allowed),
        ("the ARN is not the name",  alias(&arn(from)),   none(),      source(&arn(from)),   NoFrom),
        ("by another alias",         alias(from),         none(),      source("alias/second"), NoFrom),
        ("by key ARN",               alias(from),         none(),      none(),               NoFrom),
        ("by the ciphertext",        alias(from),         none(),      json!({"SourceKeyId": null}), NoKey),
        ("the destination by it",    alias(from),         none(),      target(from),         NoFrom),
        ("destination by alias",     none(),              alias(into), target(into),         Allowed),
        ("destination by alias ARN", none(),              alias(into), target(&arn(into)),   Allowed),
        ("destination by key ARN",   none(),              alias(into), source(from),         NoTo),
        ("each by its own",          alias(from),         alias(into), aliases.clone(),      Allowed),
        ("not by the other's",       alias(into),         none(),      aliases,              NoFrom),
    ];
    keys.check(&cases);
}

#[test]
fn both_sides_know_whether_they_are_one_key() {
    let keys = Keys::make();
    let none = || json!({});
    let same = |value: &str| json!({"Bool": {"kms:ReEncryptOnSameKey": value}});
    let onto = |name: &str| json!({"DestinationKeyId": name});
    let unnamed = json!({"SourceKeyId": null, "DestinationKeyId": keys.source});
    let elsewhere = json!({"SourceKeyId": null});
    #[rustfmt::skip]
    let cases = [
        ("source, other key",         same("true"),  none(),        none(),               NoFrom),
        ("destination, other key",    none(),        same("true"),  none(),               NoTo),
        ("other key is wanted",       same("false"), same("false"), none(),               Allowed),
        ("same key",                  same("true"),  same("true"),  onto(&keys.source),   Allowed),
        ("same key by alias",         same("true"),  same("true"),  onto("alias/second"), Allowed),
        ("same key by ciphertext",    same("true"),  same("true"),  unnamed,              Allowed),
        ("other key by ciphertext",   same("true"),  none(),        elsewhere,            NoKey),
        ("source, same key unwanted", same("false"), none(),        onto(&keys.source),   NoFrom),
        ("destination, the same",     none(),        same("false"), onto(&keys.source),   NoTo),
    ];
    keys.check(&cases);
}

#[test]
fn both_sides_know_who_calls() {
    let keys = Keys::make();
    let none = || json!({});
    let account = |number: &str| equals("kms:CallerAccount", number);
    let carol = keys.carol.principal.clone();
    let arn = |operator: &str, pattern: &str| json!({operator: {"aws:PrincipalArn": pattern}});
    let users = format!("arn:aws:iam::{OWNER}:user/*");
    let others = format!("arn:aws:iam::{OWNER}:user/B*");
    #[rustfmt::skip]
    let cases = [
        ("the account",     account(OWNER),            account(OWNER),             none(), Allowed),
        ("another account", account(OTHER),            none(),                     none(), NoFrom),
        ("another, to",     none(),                    account(OTHER),             none(), NoTo),
        ("the principal",   arn("ArnEquals", &carol),  arn("StringEquals", &carol), none(), Allowed),
        ("a pattern",       arn("ArnLike", &users),    arn("StringLike", &users),  none(), Allowed),
        ("another pattern", arn("ArnLike", &others),   none(),                     none(), NoFrom),
        ("not that",        arn("ArnNotLike", &others), arn("ArnNotLike", &carol), none(), NoTo),
    ];
    keys.check(&cases);
}

#[test]
fn the_aliases_of_a_key_are_for_identity_policies_alone() {
    let keys = Keys::make();
    let aliases = |name: &str| json!({"ForAnyValue:StringEquals": {"kms:ResourceAliases": name}});
    let none = json!({});
    // With an identity policy, and with key policies.
    for (from, into, expected) in [
        (aliases("alias/source"), none.clone(), [Allowed, NoFrom]),
        (aliases("alias/second"), none.clone(), [Allowed, NoFrom]),
        (aliases("alias/target"), none.clone(), [NoFrom, NoFrom]),
        (none.clone(), aliases("alias/target"), [Allowed, NoTo]),
        (none.clone(), aliases("alias/source"), [NoTo, NoTo]),
    ] {
        assert_eq!(keys.both(&from, &into, &none), expected, "{from} {into}");
    }
}

#[test]
fn where_a_call_comes_from_is_known_to_policies() {
    let keys = Keys::make();
    let from = |address: Option<[u8; 4]>, secure: bool| {
        keys.carol.clone().from_source(Source {
            address: address.map(IpAddr::from),
            secure,
            ..Source::default()
        })
    };
    let network = json!({"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}});
    let secure = json!({"Bool": {"aws:SecureTransport": "true"}});
    for (condition, caller, may) in [
        (&network, from(Some([192, 0, 2, 7]), false), true),
        (&network, from(Some([192, 0, 3, 7]), false), false),
        (&secure, from(Some([192, 0, 2, 7]), true), true),
        (&secure, from(Some([192, 0, 2, 7]), false), false),
        // Within this machine there is nothing to listen to.
        (&secure, from(None, false), true),
    ] {
        keys.world
            .let_user(&keys.carol, &[when(condition, allow("kms:DescribeKey"))]);
        let request = json!({"KeyId": keys.source});
        let answer = keys.world.call(&caller, "DescribeKey", request);
        assert_eq!(is_let_in(&answer), may, "{condition} {:?}", caller.source);
        if let Ok(described) = answer {
            assert_eq!(text(&described["KeyMetadata"], "Arn"), keys.source);
        }
    }
}
