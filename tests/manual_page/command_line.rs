//! `rekeyfs kms` as a program: what the page says of `--cli-input-json`, of
//! `--generate-cli-skeleton` and of the global options.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::temporary;

const BINARY: &str = env!("CARGO_BIN_EXE_rekeyfs");

/// What no log may show.
const SECRET: &str = "top-secret-plaintext";

/// A home directory with a keystore of its own; of the environment nothing else is left.
pub struct Home(tempfile::TempDir);

impl Home {
    pub fn new() -> Self {
        Self(temporary())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), contents).expect("write");
    }

    fn environment(&self, command: &mut Command) {
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.0.path())
            .env("REKEYFS_KEYSTORE", self.path("keystore.db"))
            .env("AWS_CONFIG_FILE", self.path("config"))
            .env("AWS_SHARED_CREDENTIALS_FILE", self.path("credentials"))
            .current_dir(self.0.path());
    }

    /// `rekeyfs` with the words of a line.
    pub fn command(&self, line: &str) -> Command {
        // What hangs must end as a failed test.
        let mut command = Command::new("timeout");
        command
            .args(["-s", "KILL", "60", BINARY])
            .args(line.split_whitespace());
        self.environment(&mut command);
        command
    }

    /// What a line prints that must succeed.
    fn says(&self, line: &str) -> String {
        succeeded(&mut self.command(line)).0
    }

    /// What a line prints that must succeed, as JSON.
    fn answers(&self, line: &str) -> Value {
        serde_json::from_str(&self.says(line)).expect("JSON")
    }

    /// The exit code of a line that must fail, and what it says.
    fn fails(&self, line: &str) -> (i32, String) {
        failed(&mut self.command(line))
    }

    /// A new key's ARN.
    fn key(&self) -> String {
        let arn = self.says("kms create-key --query KeyMetadata.Arn --output text");
        arn.trim_end().to_owned()
    }

    /// Puts a ciphertext of [`SECRET`] into a file, and returns it in base64.
    fn seal(&self, key: &str, file: &str, options: &str) -> String {
        let line = format!(
            "kms encrypt --key-id {key} --plaintext {SECRET} --query CiphertextBlob --output text \
             {options}"
        );
        let blob = self.says(&line).trim_end().to_owned();
        self.write(file, STANDARD.decode(&blob).expect("base64"));
        blob
    }
}

/// Standard output and standard error of what must succeed.
fn succeeded(command: &mut Command) -> (String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("rekeyfs");
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert!(status.success(), "{command:?}\n{status}\n{said}");
    (String::from_utf8_lossy(&stdout).into_owned(), said)
}

/// The exit code and standard error of what must fail.
fn failed(command: &mut Command) -> (i32, String) {
    let output = command.output().expect("rekeyfs");
    assert!(!output.status.success(), "{command:?} succeeded");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap_or(-1), said)
}

/// `rekeyfs serve` on the keystore of a home; ended when it goes.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(home: &Home, options: &[&str]) -> Self {
        let mut command = Command::new(BINARY);
        home.environment(&mut command);
        let mut child = command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .expect("rekeyfs serve");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("an address");
        let url = line.trim_end().strip_prefix("listening on ");
        let url = url.expect("a line").to_owned();
        Self { child, url }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_filled_in_skeleton_is_a_request() {
    let home = Home::new();
    let (from, to, other) = (home.key(), home.key(), home.key());
    let blob = home.seal(&from, "blob", "--encryption-context a=b");
    let mut sample = home.answers("kms re-encrypt --generate-cli-skeleton");
    assert_eq!(
        sample,
        home.answers("kms re-encrypt --generate-cli-skeleton input")
    );
    for (member, value) in [
        ("SourceEncryptionContext", json!({"a": "b"})),
        ("SourceKeyId", json!(from)),
        ("DestinationKeyId", json!(to)),
        ("DestinationEncryptionContext", json!({"c": "d"})),
        ("GrantTokens", json!([])),
        ("DryRun", json!(false)),
        ("DryRunModifiers", json!([])),
    ] {
        assert!(sample.get(member).is_some(), "{member}");
        sample[member] = value;
    }
    home.write("input.json", sample.to_string());
    // The ciphertext, null in the sample, comes from the command line.
    let line = "kms re-encrypt --cli-input-json file://input.json --ciphertext-blob fileb://blob";
    let moved = home.answers(line);
    assert_eq!(
        (&moved["SourceKeyId"], &moved["KeyId"]),
        (&json!(from), &json!(to))
    );
    // So do other members, if they are given there.
    let moved = home.answers(&format!("{line} --destination-key-id {other}"));
    assert_eq!(moved["KeyId"], json!(other));
    // What JSON says of a blob is taken for the blob itself.
    sample["CiphertextBlob"] = json!(blob);
    home.write("input.json", sample.to_string());
    let (code, said) = home.fails("kms re-encrypt --cli-input-json file://input.json");
    assert_eq!(code, 255);
    assert!(said.contains("InvalidCiphertextException"), "{said}");
}

#[test]
fn skeletons_are_made_without_a_request() {
    let home = Home::new();
    // Nobody listens there, and there are no credentials.
    let nowhere = "--endpoint-url http://127.0.0.1:1 --region us-east-1";
    let required = "--ciphertext-blob x --destination-key-id y";
    let input = home.answers(&format!("kms re-encrypt --generate-cli-skeleton {nowhere}"));
    assert_eq!(input["SourceEncryptionAlgorithm"], "SYMMETRIC_DEFAULT");
    let output = format!("kms re-encrypt {required} --generate-cli-skeleton output");
    for line in [output.clone(), format!("{output} {nowhere}")] {
        let sample = home.answers(&line);
        let members: Vec<_> = sample.as_object().expect("members").keys().collect();
        assert_eq!(
            members,
            [
                "CiphertextBlob",
                "SourceKeyId",
                "KeyId",
                "SourceEncryptionAlgorithm",
                "DestinationEncryptionAlgorithm",
                // Newer than the page.
                "SourceKeyMaterialId",
                "DestinationKeyMaterialId",
            ]
        );
    }
    assert!(!home.path("keystore.db").exists(), "a keystore was made");
    // What was given is checked as for a request.
    let (code, said) = home.fails("kms re-encrypt --generate-cli-skeleton output");
    assert_eq!(code, 2, "{said}");
    let line = "kms re-encrypt --ciphertext-blob x --destination-key-id= \
                --generate-cli-skeleton output";
    let (code, said) = home.fails(line);
    assert_eq!(code, 255);
    assert!(
        said.contains("Invalid length for parameter DestinationKeyId"),
        "{said}"
    );
}

#[test]
fn contexts_stand_in_clear_in_the_audit_log_and_secrets_do_not() {
    let home = Home::new();
    let (from, to) = (home.key(), home.key());
    let old = home.seal(&from, "blob", "--encryption-context purpose=payroll");
    let granted = home.answers(&format!(
        "kms create-grant --key-id {from} --operations ReEncryptFrom \
         --grantee-principal arn:aws:iam::000000000000:root"
    ));
    let token = granted["GrantToken"].as_str().expect("a token");
    let moved = home.answers(&format!(
        "kms re-encrypt --ciphertext-blob fileb://blob --source-encryption-context purpose=payroll \
         --destination-key-id {to} --destination-encryption-context purpose=archive \
         --grant-tokens {token}"
    ));
    let new = moved["CiphertextBlob"].as_str().expect("a blob");
    let log = home.says("audit --event ReEncrypt");
    let event: Value = serde_json::from_str(&log).expect("one event");
    let parameters = &event["requestParameters"];
    assert_eq!(
        parameters["sourceEncryptionContext"],
        json!({"purpose": "payroll"})
    );
    assert_eq!(
        parameters["destinationEncryptionContext"],
        json!({"purpose": "archive"})
    );
    let log = home.says("audit");
    for secret in [SECRET, &STANDARD.encode(SECRET), &old, new, token] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[test]
fn debug_logging_is_on_standard_error_and_shows_no_plaintext() {
    let home = Home::new();
    let key = home.key();
    let server = Server::start(&home, &["--auth", "none"]);
    let remote = format!("--endpoint-url {} --no-sign-request", server.url);
    for place in ["", remote.as_str()] {
        let line = format!(
            "kms encrypt --key-id {key} --plaintext {SECRET} --query KeyId --region us-east-1 \
             {place}"
        );
        let (quiet, said) = succeeded(&mut home.command(&line));
        assert_eq!(said, "", "{place}");
        let (printed, said) = succeeded(&mut home.command(&format!("{line} --debug")));
        assert_eq!(printed, quiet, "{place}");
        assert!(
            said.contains("debug") && said.contains("Encrypt"),
            "{place}: {said}"
        );
        for secret in [SECRET, &STANDARD.encode(SECRET)] {
            assert!(!said.contains(secret), "{said}");
        }
    }
}

#[test]
fn an_endpoint_url_takes_the_place_of_the_keystore() {
    let (here, there) = (Home::new(), Home::new());
    let (own, served) = (here.key(), there.key());
    let server = Server::start(&there, &["--auth", "none"]);
    let line = "kms list-keys --query Keys[].KeyArn --output text";
    assert_eq!(here.says(line).trim_end(), own);
    let remote = format!(
        "{line} --region us-east-1 --no-sign-request --endpoint-url {}",
        server.url
    );
    assert_eq!(here.says(&remote).trim_end(), served);
}

#[test]
fn certificates_are_verified_by_the_bundle_that_is_given_unless_that_is_turned_off() {
    let home = Home::new();
    let key = home.key();
    let bundle = home.path("bundle.pem").display().to_string();
    let server = Server::start(&home, &["--auth", "none", "--tls-self-signed", &bundle]);
    assert!(server.url.starts_with("https://"));
    let line = format!(
        "kms list-keys --query Keys[].KeyArn --output text --region us-east-1 --no-sign-request \
         --endpoint-url {}",
        server.url
    );
    let (code, said) = home.fails(&line);
    assert_eq!(code, 255);
    assert!(said.contains("SSL validation failed for"), "{said}");
    for option in ["--no-verify-ssl", &format!("--ca-bundle {bundle}")] {
        // Either one wins over the environment.
        let mut command = home.command(&format!("{line} {option}"));
        let (printed, _) = succeeded(command.env("AWS_CA_BUNDLE", home.path("nothing.pem")));
        assert_eq!(printed.trim_end(), key, "{option}");
    }
    let (printed, _) = succeeded(home.command(&line).env("AWS_CA_BUNDLE", &bundle));
    assert_eq!(printed.trim_end(), key);
}

#[test]
fn a_request_that_is_not_signed_needs_no_credentials() {
    let home = Home::new();
    let key = home.key();
    let server = Server::start(&home, &["--auth", "none"]);
    let line = format!(
        "kms list-keys --query Keys[].KeyArn --output text --region us-east-1 --endpoint-url {}",
        server.url
    );
    let (code, said) = home.fails(&line);
    assert_eq!(code, 255);
    assert!(said.contains("Unable to locate credentials"), "{said}");
    // Nor are they read: half of them is a fault.
    home.write(
        "credentials",
        "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\n",
    );
    let (code, said) = home.fails(&line);
    assert_eq!(code, 255);
    assert!(said.contains("Partial credentials"), "{said}");
    let printed = home.says(&format!("{line} --no-sign-request"));
    assert_eq!(printed.trim_end(), key);
    // An endpoint that asks for signatures lets nobody in without one.
    let strict = Server::start(&home, &[]);
    let line = line.replace(&server.url, &strict.url);
    let (code, said) = home.fails(&format!("{line} --no-sign-request"));
    assert_eq!(code, 255);
    assert!(said.contains("MissingAuthenticationToken"), "{said}");
}

#[test]
fn a_profile_of_the_credentials_file_is_who_calls() {
    let home = Home::new();
    home.says("iam create-user --user-name alice");
    let made = home.answers("iam create-access-key --user-name alice");
    let part = |name: &str| made["AccessKey"][name].as_str().expect("text").to_owned();
    home.write(
        "credentials",
        format!(
            "[work]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            part("AccessKeyId"),
            part("SecretAccessKey")
        ),
    );
    home.write(
        "config",
        "[profile work]\nregion = eu-west-1\noutput = text\n",
    );
    let (code, said) = home.fails("kms create-key --profile work");
    assert_eq!(code, 255);
    assert!(
        said.contains("User: arn:aws:iam::000000000000:user/alice is not authorized"),
        "{said}"
    );
    let policy = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*"}}"#;
    home.says(&format!(
        "iam put-user-policy --user-name alice --policy-name all --policy-document {policy}"
    ));
    // The profile's Region and output hold, too.
    let arn = home.says("kms create-key --profile work --query KeyMetadata.Arn");
    assert!(
        arn.starts_with("arn:aws:kms:eu-west-1:000000000000:key/"),
        "{arn}"
    );
    let (code, said) = home.fails("kms list-keys --profile nobody");
    assert_eq!(code, 255);
    assert!(
        said.contains("The config profile (nobody) could not be found"),
        "{said}"
    );
}

#[test]
fn a_region_that_is_given_wins_over_environment_and_configuration() {
    let home = Home::new();
    home.write("config", "[default]\nregion = us-west-2\n");
    let line = "kms create-key --query KeyMetadata.Arn --output text";
    let region = |command: &mut Command| {
        let (arn, _) = succeeded(command);
        arn.split(':').nth(3).map(str::to_owned)
    };
    let mut configured = home.command(line);
    assert_eq!(region(&mut configured).as_deref(), Some("us-west-2"));
    let mut variable = home.command(line);
    variable.env("AWS_DEFAULT_REGION", "eu-west-1");
    assert_eq!(region(&mut variable).as_deref(), Some("eu-west-1"));
    let mut given = home.command(&format!("{line} --region ap-south-1"));
    given.env("AWS_DEFAULT_REGION", "eu-west-1");
    assert_eq!(region(&mut given).as_deref(), Some("ap-south-1"));
}

#[test]
fn the_version_is_one_line_wherever_it_is_asked_for() {
    let home = Home::new();
    for line in [
        "kms --version",
        "--version kms",
        "kms re-encrypt --version",
        "kms list-keys --version --endpoint-url http://127.0.0.1:1",
    ] {
        let said = home.says(line);
        assert_eq!(said.lines().count(), 1, "{line}: {said}");
        assert!(said.starts_with("rekeyfs/"), "{line}: {said}");
        assert!(
            said.trim_end().ends_with("aws-cli/1.31.13"),
            "{line}: {said}"
        );
    }
    assert!(!home.path("keystore.db").exists(), "a keystore was made");
}
