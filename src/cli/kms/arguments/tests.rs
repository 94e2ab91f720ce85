use super::*;

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

fn run(line: &str) -> Result<Asked, UsageFault> {
    parse(&words(line), |_| Ok(()))
}

fn call(line: &str) -> Invocation {
    match run(line) {
        Ok(Asked::Call(invocation)) => *invocation,
        Ok(_) => panic!("{line}: no call"),
        Err(fault) => panic!("{line}: {}", fault.text),
    }
}

/// The members that were given, as `Name=values`.
fn members(invocation: &Invocation) -> String {
    let shown: Vec<String> = invocation
        .parameters
        .iter()
        .map(|(member, given)| match given {
            Given::Switch(is_on) => format!("{}={is_on}", member.name),
            Given::One(value) => format!("{}={}", member.name, python::shown(value)),
            Given::Many(values) => {
                let values: Vec<String> = values.iter().map(|value| python::shown(value)).collect();
                format!("{}=[{}]", member.name, values.join(","))
            }
        })
        .collect();
    shown.join(" ")
}

/// What is behind the usage, and the exit code.
fn fault(line: &str) -> (String, u8) {
    let fault = run(line).err().expect("refused");
    let head = "rekeyfs <command> <subcommand> help\n";
    let text = fault.text.rsplit(head).next().unwrap_or_default();
    (text.to_owned(), fault.code)
}

// The rows of the tables are what AWS CLI 1.31.13 makes of these lines.

#[test]
fn members_are_read_in_the_order_of_the_model() {
    for (line, expected) in [
        ("kms list-keys", ""),
        ("kms list-keys --", ""),
        ("kms describe-key --key-id x", "KeyId=x"),
        ("kms describe-key --key-id=x", "KeyId=x"),
        ("kms describe-key --key-id x --", "KeyId=x"),
        ("kms describe-key -- --key-id x", "KeyId=x"),
        ("-- kms describe-key --key-id x", "KeyId=x"),
        ("kms -- describe-key --key-id x", "KeyId=x"),
        ("kms -- -- list-keys", ""),
        ("kms describe-key --key-id -1", "KeyId=-1"),
        ("kms describe-key --key-id -", "KeyId=-"),
        ("kms describe-key --key-id=-x", "KeyId=-x"),
        ("kms describe-key --key-id=", "KeyId="),
        ("kms describe-key --key-id=--", "KeyId=[]"),
        ("kms describe-key --ke x", "KeyId=x"),
        ("kms describe-key --k=x", "KeyId=x"),
        ("kms describe-key --key-id x --key-id y", "KeyId=y"),
        (
            "kms describe-key --grant-tokens a b --key-id x",
            "KeyId=x GrantTokens=[a,b]",
        ),
        (
            "kms describe-key --grant-tokens --key-id x",
            "KeyId=x GrantTokens=[]",
        ),
        (
            "kms describe-key --grant-tokens a --grant-tokens b --key-id x",
            "KeyId=x GrantTokens=[b]",
        ),
        (
            "kms describe-key --key-id x --grant-tokens=--",
            "KeyId=x GrantTokens=[]",
        ),
        (
            "kms re-encrypt --destination-key-id b --ciphertext-blob a --dry-run --no-dry-run",
            "CiphertextBlob=a DestinationKeyId=b DryRun=false",
        ),
        (
            "kms re-encrypt --ciphertext-blob a --destination-key-id b --no-dry-run --dry-run",
            "CiphertextBlob=a DestinationKeyId=b DryRun=true",
        ),
        (
            "kms re-encrypt --ciph a --destination-k b --no-d",
            "CiphertextBlob=a DestinationKeyId=b DryRun=false",
        ),
        ("kms list-keys --limit 5 --max-items 0", "Limit=5"),
    ] {
        assert_eq!(members(&call(line)), expected, "{line}");
    }
    let mut line = words("kms describe-key --key-id");
    line.push("-x y".into());
    let asked = parse(&line, |_| Ok(())).unwrap_or_else(|fault| panic!("{}", fault.text));
    assert!(matches!(asked, Asked::Call(call) if members(&call) == "KeyId=-x y"));
    let mut line = words("kms list-keys");
    line.push("".into());
    assert!(matches!(parse(&line, |_| Ok(())), Ok(Asked::Call(_))));
}

#[test]
fn what_does_not_fit_is_refused_as_the_aws_cli_refuses_it() {
    for (line, expected) in [
        ("kms", "the following arguments are required: operation"),
        (
            "kms describe-key",
            "the following arguments are required: --key-id",
        ),
        (
            "kms create-alias",
            "the following arguments are required: --alias-name, --target-key-id",
        ),
        (
            "kms describe-key --key-id",
            "argument --key-id: expected one argument",
        ),
        (
            "kms describe-key --key-id -x",
            "argument --key-id: expected one argument",
        ),
        (
            "kms describe-key --key-id -- x",
            "argument --key-id: expected one argument",
        ),
        (
            "kms describe-key --k",
            "argument --key-id: expected one argument",
        ),
        (
            "kms describe-key --g a --k b",
            "ambiguous option: --g could match --grant-tokens, --generate-cli-skeleton",
        ),
        (
            "kms list-keys --m 1",
            "ambiguous option: --m could match --marker, --max-items",
        ),
        (
            "kms encrypt --key-id k --plaintext p --dry-run=true",
            "argument --dry-run: ignored explicit argument 'true'",
        ),
        (
            "kms list-keys --max-items x",
            "argument --max-items: invalid int value: 'x'",
        ),
        (
            "kms list-keys --max-items=",
            "argument --max-items: invalid int value: ''",
        ),
        (
            "kms list-keys --max-items=it's",
            "argument --max-items: invalid int value: \"it's\"",
        ),
        (
            "kms list-keys --max-items",
            "argument --max-items: expected one argument",
        ),
        (
            "kms describe-key --cli-input-json={}",
            "the following arguments are required: --key-id",
        ),
        (
            "kms describe-key --cli-inp {}",
            "the following arguments are required: --key-id",
        ),
        (
            "kms describe-key --generate-cli-skeleton output",
            "the following arguments are required: --key-id",
        ),
        (
            "kms describe-key --generate-cli-skeleton=input",
            "the following arguments are required: --key-id",
        ),
        (
            "kms describe-key --generate-cli",
            "the following arguments are required: --key-id",
        ),
        (
            "kms describe-key --profile nope",
            "the following arguments are required: --key-id",
        ),
    ] {
        let expected = format!("rekeyfs: error: {expected}\n");
        assert_eq!(fault(line), (expected, 2), "{line}");
    }
}

#[test]
fn what_nothing_takes_is_listed_as_the_aws_cli_lists_it() {
    for (line, expected) in [
        ("kms list-keys --bogus x", "--bogus, x"),
        ("kms list-keys foo", "foo"),
        ("kms list-keys --foo bar baz", "--foo, baz, bar"),
        ("kms list-keys foo --bar baz", "--bar, baz, foo"),
        ("kms describe-key x --key-id y", "x"),
        ("kms describe-key --grant-tokens a b --key-id x c", "c"),
        (
            "kms encrypt --key-id k --plaintext p --dry-run true",
            "true",
        ),
        ("--bogus kms list-keys", "--bogus"),
        ("kms --bogus=1 list-keys -x", "--bogus=1, -x"),
        ("kms list-keys --no-x", "--no-x"),
        (
            "kms create-grant --generate-cli-skeleton input output",
            "output",
        ),
    ] {
        let expected = format!("\nUnknown options: {expected}\n");
        assert_eq!(fault(line), (expected, 255), "{line}");
    }
}

#[test]
fn unknown_operations_get_the_list_and_the_nearest() {
    for line in ["kms bogus", "kms List-Keys", "kms --bogus x list-keys"] {
        let (text, code) = fault(line);
        let head = "rekeyfs: error: argument operation: Invalid choice, valid choices are:\n\n";
        assert!(text.starts_with(head), "{line}");
        assert!(text.contains(&format!("{:<40}", "re-encrypt")), "{line}");
        assert!(text.trim_end().ends_with("help"), "{line}");
        assert_eq!(code, 2);
    }
    let (text, _) = fault("kms re-encryp");
    assert!(
        text.ends_with("\n\n\nInvalid choice: 're-encryp', maybe you meant:\n\n  * re-encrypt\n")
    );
}

#[test]
fn help_is_asked_for_where_the_aws_cli_gives_it() {
    for (line, expected) in [
        ("kms help", None),
        ("kms help re-encrypt", None),
        ("kms help --output text", None),
        ("kms re-encrypt help", Some("ReEncrypt")),
        ("kms list-keys -- help", Some("ListKeys")),
        ("kms list-keys foo help", Some("")),
        ("kms list-keys --foo help", Some("ListKeys")),
    ] {
        match run(line) {
            Ok(Asked::Help(operation)) => {
                assert_eq!(
                    operation.map(|operation| operation.name),
                    expected,
                    "{line}"
                );
            }
            // `foo` is taken for the word behind, so `help` is left over.
            Err(fault) => assert!(
                fault.text.ends_with("\nUnknown options: help, foo\n"),
                "{line}"
            ),
            Ok(_) => panic!("{line}"),
        }
    }
}

#[test]
fn samples_and_json_waive_what_is_required() {
    for (line, expected) in [
        (
            "kms describe-key --generate-cli-skeleton",
            Some(Skeleton::Input),
        ),
        (
            "kms describe-key --generate-cli-skeleton input",
            Some(Skeleton::Input),
        ),
        (
            "kms describe-key --generate-cli-skeleton --generate-cli-skeleton output",
            Some(Skeleton::Output),
        ),
        (
            "kms describe-key --cli-input-json {} --generate-cli-skeleton output",
            Some(Skeleton::Output),
        ),
        ("kms describe-key --cli-input-json {}", None),
        (
            "kms list-keys --generate-cli-skeleton=output",
            Some(Skeleton::Output),
        ),
    ] {
        assert_eq!(call(line).skeleton, expected, "{line}");
    }
    let (text, code) = fault("kms describe-key --generate-cli-skeleton inpu");
    assert!(text.starts_with("rekeyfs: error: argument --generate-cli-skeleton: Invalid choice"));
    assert!(text.ends_with("maybe you meant:\n\n  * input\n"));
    assert_eq!(code, 2);
}

#[test]
fn pages_are_fetched_unless_one_is_asked_for() {
    for (line, expected) in [
        ("kms list-keys", true),
        ("kms list-keys --max-items 1_0 --page-size=-3", true),
        ("kms list-keys --no-paginate", false),
        ("kms list-keys --no-paginate --page-size 0", false),
        ("kms list-keys --limit 5", false),
        ("kms list-keys --marker m --starting-token=", false),
        ("kms describe-key --key-id x", false),
    ] {
        assert_eq!(call(line).paginates, expected, "{line}");
    }
    let options = call("kms list-keys --max-items 1_0 --pa -3 --starting-token t").page_options;
    assert_eq!(options.starting_token, Some("t".into()));
    assert_eq!(options.page_size.as_deref(), Some("-3"));
    assert_eq!(options.max_items.as_deref(), Some("10"));
    for (line, expected) in [
        ("kms list-keys --limit 5 --max-items 3", "--max-items"),
        (
            "kms list-keys --no-paginate --page-size 5 --starting-token x",
            "--starting-token, --page-size",
        ),
    ] {
        let expected = format!(
            "\nError during pagination: Cannot specify --no-paginate along with pagination \
             arguments: {expected}\n"
        );
        assert_eq!(fault(line), (expected, 255), "{line}");
    }
    assert_eq!(fault("kms describe-key --key-id x --max-items 1").1, 255);
}

#[test]
fn words_that_are_not_utf_8_are_kept_and_shown() {
    use std::os::unix::ffi::OsStrExt;
    let mut line = words("kms encrypt --key-id k --plaintext");
    line.push(OsStr::from_bytes(b"\xff").to_owned());
    let asked = parse(&line, |_| Ok(())).unwrap_or_else(|fault| panic!("{}", fault.text));
    assert!(matches!(asked, Asked::Call(call) if members(&call) == "KeyId=k Plaintext=\\udcff"));
    line.push(OsStr::from_bytes(b"a\xfe").to_owned());
    let fault = parse(&line, |_| Ok(())).err().expect("refused");
    assert!(fault.text.ends_with("\nUnknown options: a\\udcfe\n"));
}

#[test]
fn names_are_those_of_the_aws_cli() {
    for (name, expected) in [
        ("ReEncrypt", "re-encrypt"),
        (
            "GenerateDataKeyWithoutPlaintext",
            "generate-data-key-without-plaintext",
        ),
        ("PendingWindowInDays", "pending-window-in-days"),
        ("KeyId", "key-id"),
    ] {
        assert_eq!(kebab(name), expected);
    }
}
