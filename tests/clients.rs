//! Real clients: the AWS CLI, boto3, the AWS Encryption SDK and its material providers, against
//! `rekeyfs serve`. `scripts/clients` installs them below `target/clients`.

mod support;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_rekeyfs");

/// A keystore of its own in which a client runs.
struct Place {
    dir: tempfile::TempDir,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn client(environment: &str, program: &str) -> PathBuf {
    root()
        .join("target/clients")
        .join(environment)
        .join("bin")
        .join(program)
}

impl Place {
    fn new() -> Self {
        let status = Command::new(root().join("scripts/clients"))
            .status()
            .expect("scripts/clients");
        assert!(status.success(), "scripts/clients: {status}");
        Self {
            dir: support::temporary(),
        }
    }

    /// `rekeyfs serve`, with these arguments. The caller's own AWS settings stay outside.
    fn serve(&self, arguments: &[&str]) -> Command {
        // A client that hangs must end as a failed test.
        let mut command = Command::new("timeout");
        command
            .args(["-s", "KILL", "600", BINARY, "serve"])
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("LANG", "C.UTF-8")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("REKEYFS", BINARY)
            .env("REKEYFS_KEYSTORE", self.dir.path().join("keystore.db"))
            .env("AWS_OLD", client("old", "aws"))
            .env("AWS_NEW", client("new", "aws"))
            .current_dir(self.dir.path());
        command
    }

    fn run(&self, command: &mut Command) {
        let output = command.output().expect("rekeyfs serve");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{}\n{said}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        println!("{said}");
    }

    fn python(&self, script: &str) -> Command {
        let mut command = self.serve(&["--"]);
        command
            .arg(client("new", "python"))
            .arg(root().join("tests/clients").join(script));
        command
    }
}

/// A server that is ended when it goes.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // `timeout` passes the signal on to what it runs.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

#[test]
fn the_aws_cli_and_rekeyfs_kms_say_the_same() {
    let place = Place::new();
    place.run(&mut place.python("differential.py"));
}

#[test]
fn all_twelve_re_encrypt_cases_are_right() {
    let place = Place::new();
    place.run(&mut place.python("cases.py"));
}

#[test]
fn sdks_call_every_operation() {
    let place = Place::new();
    let bundle = place.dir.path().join("bundle.pem");
    let server = place
        .serve(&["--listen", "127.0.0.1:0", "--tls-self-signed"])
        .arg(&bundle)
        .stdout(Stdio::piped())
        .spawn()
        .expect("rekeyfs serve");
    let mut server = Running(server);
    let mut line = String::new();
    let stdout = server.0.stdout.take().expect("piped");
    BufReader::new(stdout)
        .read_line(&mut line)
        .expect("an address");
    let address = line.trim().strip_prefix("listening on ").expect("a line");
    place.run(
        place
            .python("sdk.py")
            .env("TLS_ENDPOINT", address)
            .env("TLS_CA_BUNDLE", &bundle),
    );
}

#[test]
fn the_example_of_the_manual_page_runs_as_it_stands() {
    let place = Place::new();
    let mut command = place.serve(&["--"]);
    command.arg(root().join("tests/clients/manual_page.sh"));
    place.run(&mut command);
}

/// What the README shows of real clients, in the state that its quick start leaves.
#[test]
fn the_commands_of_the_readme_run_with_real_clients() {
    let place = Place::new();
    let prepare = "for name in rekeyfs payroll; do
        key=$(\"$REKEYFS\" kms create-key --query KeyMetadata.KeyId --output text)
        \"$REKEYFS\" kms create-alias --alias-name alias/$name --target-key-id $key
    done";
    place.run(place.serve(&["--"]).args(["bash", "-euc", prepare]));
    let blocks = include_str!("../README.md")
        .split("```text\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .filter(|block| block.starts_with("rekeyfs serve -- "));
    let mut run = 0;
    for block in blocks {
        run += 1;
        let bin = Path::new(BINARY).parent().expect("a directory");
        let clients = client("new", "aws");
        let clients = clients.parent().expect("a directory");
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{}:{path}", bin.display(), clients.display());
        let mut command = place.serve(&["--"]);
        command.env("PATH", path).args(["bash", "-euc", block]);
        place.run(&mut command);
    }
    assert_ne!(run, 0);
}
