//! Users, their policies and access keys from the command line: `rekeyfs iam`, and `rekeyfs kms`
//! on behalf of a principal or with the credentials of a profile.

mod support;

#[path = "principals/home.rs"]
mod home;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use home::{Home, stderr, text};
use serde_json::{Value, json};

const ROOT: &str = "arn:aws:iam::000000000000:root";
const ALICE: &str = "arn:aws:iam::000000000000:user/Alice";
const BOB: &str = "arn:aws:iam::000000000000:user/Bob";
const EVERYTHING: &str = r#"{
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "kms:*", "Resource": "*"}]
}"#;

/// The line that the AWS CLI prints for an exception.
fn error(exception: &str, operation: &str, message: &str) -> String {
    format!("\nAn error occurred ({exception}) when calling the {operation} operation: {message}\n")
}

fn not_allowed(principal: &str, operation: &str, key: &str) -> String {
    let message = format!(
        "User: {principal} is not authorized to perform: kms:{operation} on resource: {key} \
         because no identity-based policy allows the kms:{operation} action"
    );
    error("AccessDeniedException", operation, &message)
}

#[test]
fn users_are_made_shown_listed_and_removed() {
    let home = Home::make();
    let made = home.answer(&["iam", "create-user", "--user-name", "Alice"]);
    let user = &made["User"];
    let members: Vec<_> = user.as_object().expect("members").keys().collect();
    assert_eq!(members, ["Path", "UserName", "UserId", "Arn", "CreateDate"]);
    assert_eq!(text(user, "UserName"), "Alice");
    assert_eq!(text(user, "Arn"), ALICE);
    let id = text(user, "UserId");
    assert!(id.starts_with("AIDA") && id.len() == 21, "{id}");
    let arguments = ["iam", "create-user", "--user-name", "Bob", "--uid", "12345"];
    let bob = home.answer(&arguments);
    assert_eq!(bob["User"]["Uid"], 12345);

    assert_eq!(
        home.answer(&["iam", "get-user", "--user-name", "Alice"]),
        made
    );
    let listed = home.answer(&["iam", "list-users"]);
    assert_eq!(listed, json!({"Users": [made["User"], bob["User"]]}));
    // Each account has its own.
    let elsewhere = home.answer(&["iam", "list-users", "--account", "444455556666"]);
    assert_eq!(elsewhere, json!({"Users": []}));

    let removed = home.answer(&["iam", "delete-user", "--user-name", "Alice"]);
    assert_eq!(removed, Value::Null);
    let listed = home.answer(&["iam", "list-users"]);
    assert_eq!(listed, json!({"Users": [bob["User"]]}));
}

#[test]
fn policies_come_from_files_and_are_shown_again() {
    let home = Home::make();
    home.create_user("Alice");
    let named = |command: &'static str, name: &'static str| {
        [
            "iam",
            command,
            "--user-name",
            "Alice",
            "--policy-name",
            name,
        ]
    };
    std::fs::write(home.path("policy.json"), EVERYTHING).expect("write");
    let file = format!("file://{}", home.path("policy.json").display());
    let put = named("put-user-policy", "from-file");
    let answer = home.answer(&[&put[..], &["--policy-document", &file]].concat());
    assert_eq!(answer, Value::Null);
    let put = named("put-user-policy", "given");
    home.answer(&[&put[..], &["--policy-document", EVERYTHING]].concat());

    let list = ["iam", "list-user-policies", "--user-name", "Alice"];
    let listed = home.answer(&list);
    assert_eq!(listed, json!({"PolicyNames": ["from-file", "given"]}));
    let document: Value = serde_json::from_str(EVERYTHING).expect("JSON");
    for name in ["from-file", "given"] {
        let shown = home.answer(&named("get-user-policy", name));
        let expected = json!({
            "UserName": "Alice",
            "PolicyName": name,
            "PolicyDocument": document,
        });
        assert_eq!(shown, expected);
    }
    home.answer(&named("delete-user-policy", "given"));
    assert_eq!(home.answer(&list), json!({"PolicyNames": ["from-file"]}));

    let missing = format!("file://{}", home.path("missing.json").display());
    let output = home.run(&[&put[..], &["--policy-document", &missing]].concat());
    assert!(!output.status.success());
    assert!(
        stderr(&output).contains("missing.json"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn the_secret_of_an_access_key_is_shown_once_and_kept_sealed() {
    let home = Home::make();
    home.create_user("Alice");
    let (id, secret) = home.access_key("Alice");
    assert!(id.starts_with("AKIA") && id.len() == 20, "{id}");
    assert_eq!(secret.len(), 40);
    let (other, other_secret) = home.access_key("Alice");
    assert_ne!((&id, &secret), (&other, &other_secret));

    let list = ["iam", "list-access-keys", "--user-name", "Alice"];
    let output = home.run(&list);
    let shown = String::from_utf8(output.stdout).expect("text");
    for secret in [&secret, &other_secret] {
        assert!(!shown.contains(secret.as_str()), "{shown}");
    }
    let listed = home.answer(&list);
    let listed = listed["AccessKeyMetadata"].as_array().expect("a list");
    let mut ids = Vec::new();
    for key in listed {
        let members: Vec<_> = key.as_object().expect("members").keys().collect();
        assert_eq!(members, ["UserName", "AccessKeyId", "Status", "CreateDate"]);
        assert_eq!(text(key, "UserName"), "Alice");
        assert_eq!(text(key, "Status"), "Active");
        ids.push(text(key, "AccessKeyId"));
    }
    ids.sort();
    let mut expected = [id.clone(), other.clone()];
    expected.sort();
    assert_eq!(ids, expected);

    // Neither in the keystore nor in the audit log.
    let files = home.files();
    for secret in [&secret, &other_secret] {
        let secret = secret.as_bytes();
        assert!(!files.windows(secret.len()).any(|window| window == secret));
    }
    let delete = ["iam", "delete-access-key", "--user-name", "Alice"];
    home.answer(&[&delete[..], &["--access-key-id", &id]].concat());
    let listed = home.answer(&list);
    assert_eq!(text(&listed["AccessKeyMetadata"][0], "AccessKeyId"), other);
    assert_eq!(
        listed["AccessKeyMetadata"].as_array().map(Vec::len),
        Some(1)
    );
}

#[test]
fn without_a_name_an_access_key_is_the_root_users() {
    let home = Home::make();
    let made = home.answer(&["iam", "create-access-key"]);
    assert_eq!(text(&made["AccessKey"], "UserName"), "root");
    let id = text(&made["AccessKey"], "AccessKeyId");
    let listed = home.answer(&["iam", "list-access-keys"]);
    assert_eq!(text(&listed["AccessKeyMetadata"][0], "AccessKeyId"), id);
    home.write_profile("root", &id, &text(&made["AccessKey"], "SecretAccessKey"));
    home.answer(&["kms", "create-key", "--profile", "root"]);
}

/// The arguments of a command about a user.
fn of<'a>(command: &'a str, name: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    [&[command, "--user-name", name][..], rest].concat()
}

/// The arguments that give Carol a policy.
fn policy(document: &str) -> Vec<&str> {
    let rest = ["--policy-name", "policy", "--policy-document", document];
    of("put-user-policy", "Carol", &rest)
}

#[test]
fn errors_have_the_names_of_aws_iam() {
    let home = Home::make();
    for name in ["Alice", "Bob", "Carol"] {
        home.create_user(name);
    }
    let arguments = ["iam", "create-user", "--user-name", "Uma", "--uid", "12345"];
    home.answer(&arguments);
    home.put_policy("Alice", EVERYTHING);
    for _ in 0..2 {
        home.access_key("Bob");
    }
    let long = "x".repeat(65);
    let huge = EVERYTHING.replace("kms:*", &format!("kms:{}", "a".repeat(7000)));
    let no_user = "The user with name Zoe cannot be found.";
    let no_policy = "The user policy with name none cannot be found.";
    #[rustfmt::skip]
    let table = [
        (of("create-user", "Alice", &[]),                   "EntityAlreadyExists", Some("User with name Alice already exists.")),
        (of("create-user", "root", &[]),                    "EntityAlreadyExists", Some("User with name root already exists.")),
        (of("create-user", "Vera", &["--uid", "0"]),        "EntityAlreadyExists", Some("The uid 0 acts as the user root already.")),
        (of("create-user", "uid-7", &["--uid", "8"]),       "ValidationError",     None),
        (of("create-user", "Vera", &["--uid", "12345"]),    "EntityAlreadyExists", None),
        (of("create-user", "a b", &[]),                     "ValidationError",     None),
        (of("create-user", "", &[]),                        "ValidationError",     None),
        (of("create-user", &long, &[]),                     "ValidationError",     None),
        (of("get-user", "Zoe", &[]),                        "NoSuchEntity",        Some(no_user)),
        (of("delete-user", "Zoe", &[]),                     "NoSuchEntity",        Some(no_user)),
        (of("delete-user", "Alice", &[]),                   "DeleteConflict",      Some("Cannot delete entity, must delete policies first.")),
        (of("delete-user", "Bob", &[]),                     "DeleteConflict",      Some("Cannot delete entity, must delete access keys first.")),
        (of("list-user-policies", "Zoe", &[]),              "NoSuchEntity",        Some(no_user)),
        (of("get-user-policy", "Zoe", &["--policy-name", "none"]),      "NoSuchEntity",        Some(no_user)),
        (of("get-user-policy", "Alice", &["--policy-name", "none"]),    "NoSuchEntity",        Some(no_policy)),
        (of("delete-user-policy", "Alice", &["--policy-name", "none"]), "NoSuchEntity",        Some(no_policy)),
        (of("create-access-key", "Zoe", &[]),               "NoSuchEntity",        Some(no_user)),
        (of("create-access-key", "Bob", &[]),               "LimitExceeded",       Some("Cannot exceed quota for AccessKeysPerUser: 2")),
        (of("list-access-keys", "Zoe", &[]),                "NoSuchEntity",        Some(no_user)),
        (of("delete-access-key", "Bob", &["--access-key-id", "AKIA"]), "NoSuchEntity", Some("The Access Key with id AKIA cannot be found.")),
        (policy("nonsense"),                                "MalformedPolicyDocument", None),
        (policy("{}"),                                      "MalformedPolicyDocument", None),
        (policy(&huge),                                     "LimitExceeded",       None),
    ];
    for (arguments, exception, message) in table {
        let output = home.run(&[&["iam"][..], &arguments[..]].concat());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        let mut lines = said.lines();
        let fact = lines.next().unwrap_or_default();
        let start = format!("rekeyfs: {exception}: {}", message.unwrap_or_default());
        assert!(fact.starts_with(&start), "{arguments:?}: {said}");
        assert!(message.is_none() || fact == start, "{arguments:?}: {said}");
        assert!(lines.all(|line| line.starts_with("hint: ")), "{said}");
    }
}

#[test]
fn every_command_takes_the_region_of_the_profile() {
    let home = Home::make();
    std::fs::create_dir(home.path(".aws")).expect("made");
    let config = "[default]\nregion = eu-west-1\n";
    std::fs::write(home.path(".aws/config"), config).expect("written");
    let volume = home.path("volume").display().to_string();
    let made = home.run(&["init", &volume]);
    let said = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(said.contains("arn:aws:kms:eu-west-1:"), "{said}");
    // What `init` made is where the AWS CLI's command looks.
    let found = home.answer(&["kms", "describe-key", "--key-id", "alias/rekeyfs"]);
    assert!(text(&found["KeyMetadata"], "Arn").starts_with("arn:aws:kms:eu-west-1:"));
    let elsewhere = ["--region", "us-west-2", "kms", "create-key"];
    let key = home.answer(&elsewhere);
    assert!(text(&key["KeyMetadata"], "Arn").starts_with("arn:aws:kms:us-west-2:"));
}

#[test]
fn a_keystore_setting_shows_what_it_was_set_to() {
    let home = Home::make();
    home.key();
    let ask = ["keystore", "grant-propagation-delay"];
    let shown = || String::from_utf8_lossy(&home.run(&ask).stdout).into_owned();
    assert_eq!(shown(), "0\n");
    assert!(home.run(&[&ask[..], &["300"]].concat()).status.success());
    assert_eq!(shown(), "300\n");
}

#[test]
fn a_principal_may_what_its_policies_let_it() {
    let home = Home::make();
    let key = home.key();
    home.create_user("Alice");
    let describe = ["kms", "describe-key", "--key-id", &key];
    let by_alice = [&describe[..], &["--principal", ALICE]].concat();
    assert_eq!(
        home.refused(&by_alice),
        not_allowed(ALICE, "DescribeKey", &key)
    );
    home.put_policy("Alice", EVERYTHING);
    let described = home.answer(&by_alice);
    assert_eq!(text(&described["KeyMetadata"], "Arn"), key);
    let encrypt = ["kms", "encrypt", "--key-id", &key, "--plaintext", "hello"];
    let sealed = home.answer(&[&encrypt[..], &["--principal", ALICE]].concat());
    assert_eq!(text(&sealed, "KeyId"), key);
    // Whoever is not there may nothing either, and the option may stand anywhere.
    let by_bob = [&["--principal", BOB][..], &describe[..]].concat();
    assert_eq!(home.refused(&by_bob), not_allowed(BOB, "DescribeKey", &key));
    // Of another account: nothing is said of the key.
    let eve = "arn:aws:iam::444455556666:user/Eve";
    let said = home.refused(&[&describe[..], &["--principal", eve]].concat());
    assert!(
        said.contains("on this resource because the resource does not exist"),
        "{said}"
    );
    assert!(!said.contains(&key), "{said}");
    // The root user is who calls when nobody is named.
    home.answer(&describe);
    home.answer(&[&describe[..], &["--principal", ROOT]].concat());
    let delete = ["--user-name", "Alice", "--policy-name", "policy"];
    home.answer(&[&["iam", "delete-user-policy"][..], &delete[..]].concat());
    assert_eq!(
        home.refused(&by_alice),
        not_allowed(ALICE, "DescribeKey", &key)
    );
}

#[test]
fn what_is_no_principal_is_refused() {
    let home = Home::make();
    let key = home.key();
    for principal in [
        "Alice",
        "arn:aws:iam::1:user/Alice",
        "arn:aws:kms:us-east-1:000000000000:x",
    ] {
        let arguments = [
            "kms",
            "describe-key",
            "--key-id",
            &key,
            "--principal",
            principal,
        ];
        let said = home.refused(&arguments);
        assert!(said.contains("not a principal's ARN"), "{said}");
    }
}

#[test]
fn an_operator_with_re_encrypt_alone_moves_a_ciphertext_and_reads_nothing() {
    let home = Home::make();
    let (key, other) = (home.key(), home.key());
    home.create_user("Bob");
    home.put_policy("Bob", &EVERYTHING.replace("kms:*", "kms:ReEncrypt*"));
    let encrypt = ["kms", "encrypt", "--key-id", &key, "--plaintext", "hello"];
    let sealed = home.answer(&encrypt);
    let blob = STANDARD.decode(text(&sealed, "CiphertextBlob"));
    std::fs::write(home.path("blob"), blob.expect("base64")).expect("write");
    let file = format!("fileb://{}", home.path("blob").display());
    let blob = ["--ciphertext-blob", &file, "--principal", BOB];
    let re_encrypt = ["kms", "re-encrypt", "--destination-key-id", &other];
    let moved = home.answer(&[&re_encrypt[..], &blob[..]].concat());
    assert_eq!(
        (text(&moved, "SourceKeyId"), text(&moved, "KeyId")),
        (key, other)
    );
    let said = home.refused(&[&["kms", "decrypt"][..], &blob[..]].concat());
    assert!(
        said.contains("kms:Decrypt on the resource associated with this ciphertext"),
        "{said}"
    );
}

#[test]
fn a_profile_calls_as_the_principal_of_its_access_key() {
    let home = Home::make();
    let key = home.key();
    home.create_user("Alice");
    let (id, secret) = home.access_key("Alice");
    home.write_profile("work", &id, &secret);
    let describe = ["kms", "describe-key", "--key-id", &key];
    let by_profile = [&describe[..], &["--profile", "work"]].concat();
    assert_eq!(
        home.refused(&by_profile),
        not_allowed(ALICE, "DescribeKey", &key)
    );
    home.put_policy("Alice", EVERYTHING);
    let described = home.answer(&by_profile);
    assert_eq!(text(&described["KeyMetadata"], "Arn"), key);

    let said = home.refused(&[&describe[..], &["--profile", "nope"]].concat());
    assert_eq!(said, "\nThe config profile (nope) could not be found\n");
}

#[test]
fn a_wrong_secret_is_refused_as_an_endpoint_refuses_it() {
    let home = Home::make();
    let key = home.key();
    home.create_user("Alice");
    home.put_policy("Alice", EVERYTHING);
    let (id, secret) = home.access_key("Alice");
    let arguments = ["kms", "describe-key", "--key-id", &key, "--profile", "work"];
    let refused = |name: &str, message: &str| {
        let said = home.refused(&arguments);
        assert_eq!(said, error(name, "DescribeKey", message));
    };
    let mismatch = "The request signature we calculated does not match the signature you \
        provided. Check your AWS Secret Access Key and signing method. Consult the service \
        documentation for details.";
    for wrong in [secret.to_lowercase(), "x".to_owned(), format!("{secret}x")] {
        home.write_profile("work", &id, &wrong);
        refused("InvalidSignatureException", mismatch);
    }
    let unknown = "The security token included in the request is invalid.";
    home.write_profile("work", "AKIAIOSFODNN7EXAMPLE", &secret);
    refused("UnrecognizedClientException", unknown);

    home.write_profile("work", &id, &secret);
    home.answer(&arguments);
    let delete = ["iam", "delete-access-key", "--user-name", "Alice"];
    home.answer(&[&delete[..], &["--access-key-id", &id]].concat());
    refused("UnrecognizedClientException", unknown);

    std::fs::write(
        home.path("credentials"),
        format!("[work]\naws_access_key_id = {id}\n"),
    )
    .expect("write");
    let said = home.refused(&arguments);
    let partial =
        "\nPartial credentials found in shared-credentials-file, missing: aws_secret_access_key\n";
    assert_eq!(said, partial);
    std::fs::write(home.path("credentials"), "[work]\nregion = us-east-1\n").expect("write");
    let said = home.refused(&arguments);
    assert!(said.contains("Unable to locate credentials"), "{said}");
}

#[test]
fn a_new_grant_takes_the_time_that_the_keystore_is_set_to() {
    let home = Home::make();
    let key = home.key();
    home.create_user("Bob");
    let delay = |seconds: &str| {
        home.answer(&["keystore", "grant-propagation-delay", seconds]);
    };
    let create = [
        "kms",
        "create-grant",
        "--key-id",
        &key,
        "--operations",
        "Encrypt",
    ];
    let grant = || {
        let made = home.answer(&[&create[..], &["--grantee-principal", BOB]].concat());
        text(&made, "GrantToken")
    };
    let encrypt = ["kms", "encrypt", "--key-id", &key, "--plaintext", "hello"];
    let encrypt = [&encrypt[..], &["--principal", BOB]].concat();
    let denied = not_allowed(BOB, "Encrypt", &key);
    assert_eq!(home.refused(&encrypt), denied);

    delay("3600");
    let token = grant();
    assert_eq!(home.refused(&encrypt), denied);
    home.answer(&[&encrypt[..], &["--grant-tokens", &token]].concat());
    let said = home.refused(&[&encrypt[..], &["--grant-tokens", "bad"]].concat());
    assert_eq!(said, error("InvalidGrantTokenException", "Encrypt", ""));
    delay("0");
    home.answer(&encrypt);

    for wrong in ["soon", "-1", "1.5", ""] {
        let output = home.run(&["keystore", "grant-propagation-delay", wrong]);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{wrong}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn a_tree_is_rekeyed_as_the_principal_that_is_named_and_a_mount_says_where_to_name_it() {
    let home = Home::make();
    home.answer(&["iam", "create-user", "--user-name", "Bob"]);
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let [volume, mountpoint] = ["volume", "mountpoint"].map(path);
    for path in [&volume, &mountpoint] {
        std::fs::create_dir(path).expect("made");
    }
    assert!(home.run(&["init", &volume]).status.success());
    let to = ["--destination-key-id", "alias/rekeyfs"];
    let rekey = ["rekey", "-r", &volume, to[0], to[1]];
    let as_bob = |arguments: &[&str]| home.run(&[&["--principal", BOB], arguments].concat());
    let refused = as_bob(&rekey);
    assert_eq!(refused.status.code(), Some(3));
    assert!(stderr(&refused).contains("hint: rekeyfs kms get-key-policy --key-id arn:aws:kms:"));
    assert!(stderr(&refused).contains(BOB), "{}", stderr(&refused));
    assert!(home.run(&rekey).status.success());
    let refused = as_bob(&["mount", &volume, &mountpoint]);
    assert_eq!(refused.status.code(), Some(2));
    let hint = format!("hint: -o principal={BOB}");
    assert!(stderr(&refused).contains(&hint), "{}", stderr(&refused));
}
