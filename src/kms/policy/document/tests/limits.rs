//! Documents that are large, deep, long or cut.

use super::*;

#[test]
fn a_document_that_is_huge_or_deep_is_refused() {
    let huge = format!("{}{{}}", " ".repeat(MOST_BYTES));
    assert_eq!(
        refusal(&huge, PolicyKind::Key),
        "the policy has more than 131072 bytes"
    );
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    assert!(refusal(&deep, PolicyKind::Key).contains("recursion limit exceeded"));
    let nested = format!(
        r#"{{"Statement": {}1{}}}"#,
        r#"{"Condition": "#.repeat(100),
        "}".repeat(100)
    );
    assert_eq!(
        refusal(&nested, PolicyKind::Key),
        "Statement.Effect is missing"
    );
}

#[test]
fn a_document_with_thousands_of_statements_and_values_is_read() {
    let statement = r#"{"Effect": "Deny", "Principal": "*", "Action": "kms:Encrypt"}"#;
    let document = format!(r#"{{"Statement": [{}]}}"#, [statement; 2_000].join(","));
    assert!(Policy::parse(&document, PolicyKind::Key).is_ok());
    let values: Vec<&str> = std::iter::repeat_n(r#""a*""#, 20_000).collect();
    let values = values.join(",");
    let document = key_policy(&format!(
        r#""Condition": {{"StringLike": {{"aws:x": [{values}]}}}}"#
    ));
    assert!(Policy::parse(&document, PolicyKind::Key).is_ok());
}

#[test]
fn long_texts_are_cut_in_messages() {
    let text = "é".repeat(1_000);
    let reason = refusal(
        &key_policy(&format!(r#""Action": "{text}""#)),
        PolicyKind::Key,
    );
    let expected = format!(
        r#"Statement[0].Action: "{}…" is not an action"#,
        "é".repeat(64)
    );
    assert_eq!(reason, expected);
    let reason = refusal(&key_policy(&format!(r#""{text}": 1"#)), PolicyKind::Key);
    assert!(reason.len() < 200, "{reason}");
}

#[test]
fn no_beginning_of_a_document_makes_the_reader_panic() {
    let document = key_policy(
        r#""Sid": "é", "Principal": {"AWS": ["111122223333"]}, "Condition": {
            "StringLike": {"aws:x": ["${aws:y, 'z'}*", "${?}"]}, "NumericEquals": {"aws:n": 1.5e3},
            "DateLessThan": {"aws:d": "2020-01-01T00:00:00.5+01:00"}, "Null": {"aws:b": false},
            "IpAddress": {"aws:i": "2001:db8::/32"}, "BinaryEquals": {"aws:z": "AAAA"}}"#,
    );
    for (end, _) in document.char_indices() {
        assert!(Policy::parse(&document[..end], PolicyKind::Key).is_err());
    }
    assert!(Policy::parse(&document, PolicyKind::Key).is_ok());
}
