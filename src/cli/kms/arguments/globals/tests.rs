use super::*;

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

fn run(line: &str) -> Result<Option<(Globals, Vec<OsString>)>, UsageFault> {
    read(&words(line), |query| match query {
        "[" => Err("no".to_owned()),
        _ => Ok(()),
    })
}

fn message(line: &str) -> (String, u8) {
    let fault = run(line).expect_err("refused");
    let text = fault
        .text
        .rsplit("rekeyfs: error: ")
        .next()
        .unwrap_or_default();
    (text.to_owned(), fault.code)
}

#[test]
fn options_stand_anywhere_and_the_rest_keeps_its_order() {
    for (line, rest) in [
        ("kms list-keys", "list-keys"),
        (
            "--region eu-west-1 kms --output text list-keys --query Keys",
            "list-keys",
        ),
        (
            "kms describe-key --key-id x --reg=y --debug",
            "describe-key --key-id x",
        ),
        ("kms describe-key --ke x --k=y", "describe-key --ke x --k=y"),
        ("kms --bogus=1 list-keys -x", "--bogus=1 list-keys -x"),
        ("--bogus kms list-keys", "--bogus list-keys"),
        (
            "kms describe-key -- --key-id x",
            "describe-key -- --key-id x",
        ),
        ("-- kms describe-key --key-id x", "describe-key --key-id x"),
        ("kms -- -- list-keys", "-- list-keys"),
        ("kms list-keys --no-x", "list-keys --no-x"),
        (
            "kms x --keystore f --passphrase-file=g --account 1 --principal p",
            "x",
        ),
        ("kms x --keystor f --princ", "x --keystor f --princ"),
    ] {
        let (_, left) = run(line).expect("accepted").expect("accepted");
        assert_eq!(left, words(rest), "{line}");
    }
}

#[test]
fn values_are_read() {
    let line = "--debug --endpoint-url http://h --no-verify-ssl --no-pag --output text --query a \
        --profile p --region r --color off --no-sign --ca-bundle c --cli-read-timeout 0 \
        --cli-connect-timeout=1_0 --keystore k --passphrase-file f --account 1 --principal a \
        kms x --output table --cli-read-timeout 7";
    let (globals, _) = run(line).expect("accepted").expect("accepted");
    assert_eq!(
        globals,
        Globals {
            debug: true,
            endpoint_url: Some("http://h".into()),
            verify_ssl: false,
            paginate: false,
            output: Some(Output::Table),
            query: Some("a".into()),
            profile: Some("p".into()),
            region: Some("r".into()),
            color: Color::Off,
            sign_request: false,
            ca_bundle: Some("c".into()),
            read_timeout: 7,
            connect_timeout: 10,
            keystore: Some("k".into()),
            passphrase_file: Some("f".into()),
            account: Some("1".into()),
            principal: Some("a".into()),
        }
    );
    let (globals, _) = run("kms x --region= --profile=")
        .expect("accepted")
        .expect("accepted");
    // A Region of no name is one; a profile of no name is none.
    let expected = Globals {
        region: Some(String::new()),
        ..Reader::new().globals
    };
    assert_eq!(globals, expected);
    assert_eq!((globals.read_timeout, globals.connect_timeout), (60, 60));
    assert!(matches!(run("kms x --versio"), Ok(None)));
    assert!(matches!(run("--version --output x"), Ok(None)));
}

// The rows are what AWS CLI 1.31.13 answers.

#[test]
fn what_does_not_fit_is_refused_as_the_aws_cli_refuses_it() {
    for (line, expected) in [
        ("", "the following arguments are required: command\n"),
        ("--region", "argument --region: expected one argument\n"),
        (
            "kms x --region -x",
            "argument --region: expected one argument\n",
        ),
        (
            "kms x --debug=1",
            "argument --debug: ignored explicit argument '1'\n",
        ),
        (
            "kms x --version=1",
            "argument --version: ignored explicit argument '1'\n",
        ),
        (
            "kms x --no-",
            "ambiguous option: --no- could match --no-verify-ssl, --no-paginate, \
             --no-sign-request\n",
        ),
        (
            "kms x --c on",
            "ambiguous option: --c could match --color, --ca-bundle, --cli-read-timeout, \
             --cli-connect-timeout\n",
        ),
        (
            "kms x --cli {}",
            "ambiguous option: --cli could match --cli-read-timeout, --cli-connect-timeout\n",
        ),
        (
            "kms x --=x",
            "ambiguous option: --=x could match --debug, --endpoint-url, --no-verify-ssl, \
             --no-paginate, --output, --query, --profile, --region, --color, \
             --no-sign-request, --ca-bundle, --cli-read-timeout, --cli-connect-timeout, \
             --version\n",
        ),
    ] {
        assert_eq!(message(line), (expected.to_owned(), 2), "{line}");
    }
    let (text, code) = message("kms x --output TEXT");
    assert!(text.starts_with("argument --output: Invalid choice, valid choices are:\n\njson  "));
    assert_eq!(code, 2);
}

#[test]
fn values_are_checked_before_the_operation_is() {
    for (line, expected) in [
        ("kms x --query [", "\nBad value for --query [: no\n"),
        (
            "kms x --endpoint-url x --query [",
            "\nBad value for --query [: no\n",
        ),
        (
            "kms x --endpoint-url 127.0.0.1:1",
            "\nBad value for --endpoint-url \"127.0.0.1:1\": scheme is missing.  Must be of \
             the form http://<hostname>/ or https://<hostname>/\n",
        ),
        (
            "kms x --endpoint-url=",
            "\nBad value for --endpoint-url \"\": scheme is missing.  Must be of the form \
             http://<hostname>/ or https://<hostname>/\n",
        ),
        ("kms x --endpoint-url http://[x", "\nInvalid IPv6 URL\n"),
        (
            "kms x --cli-read-timeout x",
            "\ninvalid literal for int() with base 10: 'x'\n",
        ),
        (
            "kms x --cli-connect-timeout 1.5 --cli-read-timeout=",
            "\ninvalid literal for int() with base 10: ''\n",
        ),
    ] {
        assert_eq!(message(line), (expected.to_owned(), 255), "{line}");
    }
    assert!(run("kms x --endpoint-url localhost:1").is_ok());
}

#[test]
fn the_command_is_kms_only_where_kms_is_the_first_word() {
    for (line, expected) in [
        ("kms", true),
        ("--region x kms", true),
        ("--keystore kms mount", false),
        ("--keystore=x kms", true),
        ("--bogus kms", true),
        ("mount kms", false),
        ("--no- kms", true),
        ("--debug kms", true),
        ("", false),
    ] {
        assert_eq!(is_for_kms(&words(line)), expected, "{line}");
    }
}
