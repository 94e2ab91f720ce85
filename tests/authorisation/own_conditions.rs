//! The condition keys of other operations than ReEncrypt.

use rekeyfs::kms::caller::Caller;
use serde_json::{Value, json};

use crate::accounts::{OWNER, World, allow, is_let_in, root, when};
use crate::requests::{NO_GRANT, Names, ROWS, with};

fn equals(key: &str, value: &str) -> Value {
    json!({"StringEquals": {key: value}})
}

/// Carol, who may everything under a condition.
struct Carol {
    world: World,
    caller: Caller,
    key: String,
    external: String,
    ciphertext: String,
}

impl Carol {
    fn make() -> Self {
        let world = World::start();
        let caller = world.user(OWNER, "Carol");
        let key = world.key(json!({}));
        let external = world.key(json!({"Origin": "EXTERNAL"}));
        let request = json!({"AliasName": "alias/key", "TargetKeyId": key});
        world.must(&root(OWNER), "CreateAlias", request);
        Self {
            ciphertext: world.seal(&key, &json!({"a": "b"})),
            world,
            caller,
            key,
            external,
        }
    }

    /// The least request of an operation, with these changes.
    fn request(&self, operation: &str, changes: &Value) -> Value {
        let import = matches!(operation, "GetParametersForImport" | "ImportKeyMaterial");
        let names = Names {
            key: if import { &self.external } else { &self.key },
            ciphertext: &self.ciphertext,
            other: &self.key,
            other_ciphertext: &self.ciphertext,
            grant_id: NO_GRANT,
            principal: &self.caller.principal,
            alias: "alias/carols",
        };
        let row = ROWS.iter().find(|row| row.operation == operation);
        with(row.map_or(json!({}), |row| (row.request)(&names)), changes)
    }

    fn may(&self, condition: &Value, operation: &str, changes: &Value) -> bool {
        self.world
            .let_user(&self.caller, &[when(condition, allow("kms:*"))]);
        let request = self.request(operation, changes);
        is_let_in(&self.world.call(&self.caller, operation, request))
    }

    /// Operation, what is different in its request, the condition, and whether she may.
    fn check(&self, table: &[(&str, Value, Value, bool)]) {
        let wrong: Vec<String> = table
            .iter()
            .filter(|(operation, changes, condition, may)| {
                self.may(condition, operation, changes) != *may
            })
            .map(|(operation, changes, condition, may)| {
                format!("{operation} {changes} under {condition}: {may} is right")
            })
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

#[test]
fn cryptographic_operations_are_judged_with_context_algorithm_and_alias() {
    let carol = Carol::make();
    let pair = |value: &str| equals("kms:EncryptionContext:a", value);
    let keys =
        |name: &str| json!({"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": [name]}});
    let algorithm = |name: &str| equals("kms:EncryptionAlgorithm", name);
    let alias = |name: &str| equals("kms:RequestAlias", name);
    let context = json!({"EncryptionContext": {"a": "b"}});
    for operation in [
        "Encrypt",
        "Decrypt",
        "GenerateDataKey",
        "GenerateDataKeyWithoutPlaintext",
        "GenerateDataKeyPair",
        "GenerateDataKeyPairWithoutPlaintext",
    ] {
        let by_alias = with(context.clone(), &json!({"KeyId": "alias/key"}));
        #[rustfmt::skip]
        let table = [
            (operation, context.clone(),  pair("b"),                        true),
            (operation, context.clone(),  pair("c"),                        false),
            (operation, context.clone(),  keys("a"),                        true),
            (operation, context.clone(),  keys("A"),                        false),
            (operation, context.clone(),  algorithm("SYMMETRIC_DEFAULT"),   true),
            (operation, context.clone(),  algorithm("RSAES_OAEP_SHA_256"),  false),
            (operation, context.clone(),  alias("alias/key"),               false),
            (operation, by_alias.clone(), alias("alias/key"),               true),
            (operation, by_alias,         alias("alias/other"),             false),
        ];
        carol.check(&table);
        if operation != "Decrypt" {
            // A context that is not there has no pairs.
            let absent = json!({"Null": {"kms:EncryptionContext:a": "true"}});
            carol.check(&[(operation, json!({}), absent, true)]);
        }
    }
    let described = json!({"KeyId": "alias/key"});
    carol.check(&[
        ("DescribeKey", described.clone(), alias("alias/key"), true),
        ("DescribeKey", described.clone(), alias("alias/x"), false),
        ("DescribeKey", json!({}), alias("alias/key"), false),
        ("DescribeKey", described, pair("b"), false),
    ]);
}

#[test]
fn tags_of_requests_and_keys_are_known() {
    let carol = Carol::make();
    let tags = |tags: &[(&str, &str)]| {
        let tags: Vec<_> = tags
            .iter()
            .map(|(key, value)| json!({"TagKey": key, "TagValue": value}))
            .collect();
        json!({"Tags": tags})
    };
    let blue = || tags(&[("Team", "blue")]);
    let two = || tags(&[("Team", "blue"), ("Cost", "7")]);
    let request = |value: &str| equals("aws:RequestTag/Team", value);
    let only = || json!({"ForAllValues:StringEquals": {"aws:TagKeys": ["Team"]}});
    let one = || json!({"ForAnyValue:StringEquals": {"aws:TagKeys": ["Cost"]}});
    let keys = |names: &[&str]| json!({"TagKeys": names});
    #[rustfmt::skip]
    let table = [
        ("TagResource",   blue(),                  request("blue"), true),
        ("TagResource",   blue(),                  request("red"),  false),
        ("TagResource",   two(),                   request("blue"), true),
        ("TagResource",   blue(),                  only(),          true),
        ("TagResource",   two(),                   only(),          false),
        ("TagResource",   two(),                   one(),           true),
        ("TagResource",   blue(),                  one(),           false),
        ("UntagResource", keys(&["Team"]),         only(),          true),
        ("UntagResource", keys(&["Team", "Cost"]), only(),          false),
        ("UntagResource", keys(&["Team"]),         request("blue"), false),
        ("CreateKey",     blue(),                  request("blue"), true),
        ("CreateKey",     blue(),                  request("red"),  false),
        ("CreateKey",     two(),                   only(),          false),
        ("CreateKey",     json!({}),               request("blue"), false),
        ("CreateKey",     json!({}),               only(),          true),
    ];
    carol.check(&table);
    // TagResource, too, decides over new keys with tags.
    let statement = allow("kms:CreateKey");
    carol.world.let_user(&carol.caller, &[statement]);
    let answer = carol.world.call(&carol.caller, "CreateKey", json!({}));
    assert!(answer.is_ok(), "{answer:?}");
    let answer = carol.world.call(&carol.caller, "CreateKey", blue());
    assert!(!is_let_in(&answer), "{answer:?}");

    let tagged = |value: &str| equals("aws:ResourceTag/Team", value);
    let request = with(json!({"KeyId": carol.key}), &blue());
    carol.world.must(&root(OWNER), "TagResource", request);
    carol.check(&[
        ("Encrypt", json!({}), tagged("blue"), true),
        ("Encrypt", json!({}), tagged("red"), false),
        ("DescribeKey", json!({}), tagged("blue"), true),
    ]);
    let request = json!({"KeyId": carol.key, "TagKeys": ["Team"]});
    carol.world.must(&root(OWNER), "UntagResource", request);
    assert!(!carol.may(&tagged("blue"), "Encrypt", &json!({})));
}

#[test]
fn new_keys_are_judged_by_what_they_will_be() {
    let carol = Carol::make();
    let curve = || json!({"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"});
    let spec = |name: &str| equals("kms:KeySpec", name);
    let usage = |name: &str| equals("kms:KeyUsage", name);
    let origin = |name: &str| equals("kms:KeyOrigin", name);
    let external = || json!({"Origin": "EXTERNAL"});
    let bypass = |value: &str| json!({"Bool": {"kms:BypassPolicyLockoutSafetyCheck": value}});
    let bypassing = || json!({"BypassPolicyLockoutSafetyCheck": true});
    #[rustfmt::skip]
    let table = [
        ("CreateKey",    json!({}),   spec("SYMMETRIC_DEFAULT"),  true),
        ("CreateKey",    curve(),     spec("SYMMETRIC_DEFAULT"),  false),
        ("CreateKey",    curve(),     spec("ECC_NIST_P256"),      true),
        ("CreateKey",    json!({}),   usage("ENCRYPT_DECRYPT"),   true),
        ("CreateKey",    curve(),     usage("ENCRYPT_DECRYPT"),   false),
        ("CreateKey",    json!({}),   origin("AWS_KMS"),          true),
        ("CreateKey",    external(),  origin("AWS_KMS"),          false),
        ("CreateKey",    external(),  origin("EXTERNAL"),         true),
        ("CreateKey",    bypassing(), bypass("false"),            false),
        ("CreateKey",    json!({}),   bypass("false"),            true),
        ("PutKeyPolicy", bypassing(), bypass("false"),            false),
        ("PutKeyPolicy", json!({}),   bypass("false"),            true),
    ];
    carol.check(&table);
}

#[test]
fn operations_have_condition_keys_of_their_own() {
    let carol = Carol::make();
    let bob = carol.world.user(OWNER, "Bob").principal;
    let days = |most: i64| {
        let most = most.to_string();
        json!({"NumericLessThanEquals": {"kms:RotationPeriodInDays": most}})
    };
    let every = |days: i64| json!({"RotationPeriodInDays": days});
    let operations = json!({
        "ForAllValues:StringEquals": {"kms:GrantOperations": ["Encrypt", "Decrypt"]}
    });
    let granted = |names: &[&str]| json!({"Operations": names});
    let constraint = |kind: &str| json!({"Constraints": {kind: {"a": "b"}}});
    let kind = |name: &str| equals("kms:GrantConstraintType", name);
    let (exact, part) = ("EncryptionContextEquals", "EncryptionContextSubset");
    let grantee = || json!({"GranteePrincipal": bob});
    let retiring = || json!({"RetiringPrincipal": bob});
    let ours = json!({"Bool": {"kms:GrantIsForAWSResource": "false"}});
    let pair = |name: &str| equals("kms:DataKeyPairSpec", name);
    let expires = |name: &str| equals("kms:ExpirationModel", name);
    let wrapping = |name: &str| equals("kms:WrappingAlgorithm", name);
    let wrapped = |name: &str| equals("kms:WrappingKeySpec", name);
    #[rustfmt::skip]
    let table = [
        // Without a period it is a year.
        ("EnableKeyRotation", json!({}),                       days(365),         true),
        ("EnableKeyRotation", json!({}),                       days(364),         false),
        ("EnableKeyRotation", every(90),                       days(364),         true),
        ("EnableKeyRotation", every(400),                      days(399),         false),
        ("CreateGrant", granted(&["Encrypt"]),                 operations.clone(), true),
        ("CreateGrant", granted(&["Encrypt", "DescribeKey"]),  operations.clone(), false),
        ("CreateGrant", constraint(exact),                     kind(exact),       true),
        ("CreateGrant", constraint(part),                      kind(exact),       false),
        ("CreateGrant", json!({}),                             kind(exact),       false),
        ("CreateGrant", grantee(), equals("kms:GranteePrincipal", &bob),          true),
        ("CreateGrant", json!({}), equals("kms:GranteePrincipal", &bob),          false),
        ("CreateGrant", retiring(), equals("kms:RetiringPrincipal", &bob),        true),
        ("CreateGrant", json!({}), equals("kms:RetiringPrincipal", &bob),         false),
        ("CreateGrant", json!({}),                             ours,              true),
        ("GenerateDataKeyPair", json!({}),                     pair("ECC_NIST_P256"), true),
        ("GenerateDataKeyPair", json!({}),                     pair("RSA_2048"),  false),
        ("ImportKeyMaterial", json!({}), expires("KEY_MATERIAL_DOES_NOT_EXPIRE"), true),
        ("ImportKeyMaterial", json!({}), expires("KEY_MATERIAL_EXPIRES"),         false),
        ("GetParametersForImport", json!({}), wrapping("RSAES_OAEP_SHA_256"),     true),
        ("GetParametersForImport", json!({}), wrapping("RSAES_OAEP_SHA_1"),       false),
        ("GetParametersForImport", json!({}), wrapped("RSA_2048"),                true),
        ("GetParametersForImport", json!({}), wrapped("RSA_4096"),                false),
    ];
    carol.check(&table);
    // No other operation has them. (The grants that were made above let her in: a new key.)
    let carol = Carol::make();
    for condition in [
        days(365),
        kind(exact),
        pair("RSA_2048"),
        wrapped("RSA_2048"),
    ] {
        assert!(!carol.may(&condition, "Encrypt", &json!({})), "{condition}");
    }
}
