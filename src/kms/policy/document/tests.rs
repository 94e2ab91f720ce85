//! Documents that are refused, and why; and some that are not.

mod limits;

use super::super::Policy;
use super::*;

fn refusal(text: &str, kind: PolicyKind) -> String {
    match Policy::parse(text, kind) {
        Ok(_) => format!("accepted: {text}"),
        Err(error) => error.to_string(),
    }
}

/// A key policy with one statement; `members` take the places of the usual ones.
fn key_policy(members: &str) -> String {
    let given: Members = match Json::parse(&format!("{{{members}}}")) {
        Ok(Json::Object(given)) => given,
        other => panic!("{other:?}"),
    };
    let excluded =
        |name: &str| given.contains_key(name) || given.contains_key(&format!("Not{name}"));
    let usual = [
        ("Effect", r#""Effect": "Allow""#),
        ("Principal", r#""Principal": "*""#),
        ("Action", r#""Action": "kms:*""#),
        ("Resource", r#""Resource": "*""#),
    ];
    let statement: Vec<&str> = usual
        .into_iter()
        .filter(|(name, _)| !excluded(name))
        .map(|(_, member)| member)
        .chain([members].into_iter().filter(|members| !members.is_empty()))
        .collect();
    format!(
        r#"{{"Version": "2012-10-17", "Statement": [{{{}}}]}}"#,
        statement.join(", ")
    )
}

#[test]
fn a_malformed_document_is_refused_with_the_reason_and_the_place() {
    for (document, reason) in [
        (
            "",
            "the policy is not JSON: EOF while parsing a value at line 1 column 0",
        ),
        (
            "{",
            "the policy is not JSON: EOF while parsing an object at line 1 column 1",
        ),
        (
            r#"{"Statement": [],}"#,
            "the policy is not JSON: trailing comma at line 1 column 18",
        ),
        (
            "{} {}",
            "the policy is not JSON: trailing characters at line 1 column 4",
        ),
        ("null", "the policy must be an object"),
        ("[]", "the policy must be an object"),
        (r#""kms:*""#, "the policy must be an object"),
        ("{}", "Statement is missing"),
        (r#"{"Version": "2012-10-17"}"#, "Statement is missing"),
        (
            r#"{"Version": "2012-10-18", "Statement": []}"#,
            r#"Version: "2012-10-18" is no version of the policy language"#,
        ),
        (
            r#"{"Version": 2012, "Statement": []}"#,
            "Version must be a text",
        ),
        (
            r#"{"Version": null, "Statement": []}"#,
            "Version must be a text",
        ),
        (r#"{"Id": 1, "Statement": []}"#, "Id must be a text"),
        (r#"{"Statement": []}"#, "Statement is empty"),
        (r#"{"Statement": "Allow"}"#, "Statement must be an object"),
        (r#"{"Statement": [[]]}"#, "Statement[0] must be an object"),
        (
            r#"{"Statement": {}, "Statements": []}"#,
            "Statements is not an element of the policy language",
        ),
        (
            r#"{"Statement": {}, "statement": {}}"#,
            "statement is not an element of the policy language",
        ),
        (r#"{"Statement": {}}"#, "Statement.Effect is missing"),
        (r#"{"Statement": [{}]}"#, "Statement[0].Effect is missing"),
    ] {
        assert_eq!(refusal(document, PolicyKind::Key), reason, "{document}");
    }
}

#[test]
fn a_member_that_occurs_twice_is_refused_at_every_depth() {
    for (document, name) in [
        (r#"{"Statement": [], "Statement": []}"#, "Statement"),
        (
            r#"{"Statement": {"Effect": "Deny", "Effect": "Allow"}}"#,
            "Effect",
        ),
        (
            r#"{"Statement": {"Principal": {"AWS": "*", "AWS": "*"}}}"#,
            "AWS",
        ),
        (
            r#"{"Statement": {"Condition": {"Bool": {}, "Bool": {}}}}"#,
            "Bool",
        ),
        (
            r#"{"Statement": {"Condition": {"Bool": {"a:b": "true", "a:\u0062": "true"}}}}"#,
            "a:b",
        ),
    ] {
        let reason = refusal(document, PolicyKind::Key);
        let expected = format!("the policy is not JSON: {name:?} occurs twice at line 1");
        assert!(reason.starts_with(&expected), "{reason}");
    }
}

#[test]
fn a_malformed_statement_is_refused_with_the_reason_and_the_place() {
    for (members, reason) in [
        (
            r#""Effect": "allow""#,
            r#"Statement[0].Effect: "allow" is neither "Allow" nor "Deny""#,
        ),
        (r#""Effect": true"#, "Statement[0].Effect must be a text"),
        (r#""Sid": 1"#, "Statement[0].Sid must be a text"),
        (
            r#""Comment": "x""#,
            "Statement[0].Comment is not an element of the policy language",
        ),
        (
            r#""action": "kms:*""#,
            "Statement[0].action is not an element of the policy language",
        ),
        (
            r#""Action": "kms:*", "NotAction": "kms:*""#,
            "Statement[0].Action excludes NotAction",
        ),
        (
            r#""Resource": "*", "NotResource": "*""#,
            "Statement[0].Resource excludes NotResource",
        ),
        (
            r#""Principal": "*", "NotPrincipal": "*""#,
            "Statement[0].Principal excludes NotPrincipal",
        ),
        (r#""Action": []"#, "Statement[0].Action is empty"),
        (r#""NotAction": []"#, "Statement[0].NotAction is empty"),
        (
            r#""Action": {}"#,
            "Statement[0].Action must be a text or a list of texts",
        ),
        (
            r#""Action": ["kms:*", 1]"#,
            "Statement[0].Action must be a text or a list of texts",
        ),
        (
            r#""Action": [["kms:*"]]"#,
            "Statement[0].Action must be a text or a list of texts",
        ),
        (
            r#""Action": """#,
            r#"Statement[0].Action: "" is not an action"#,
        ),
        (
            r#""Action": "Decrypt""#,
            r#"Statement[0].Action: "Decrypt" is not an action"#,
        ),
        (
            r#""Action": "kms:""#,
            r#"Statement[0].Action: "kms:" is not an action"#,
        ),
        (
            r#""Action": ":Decrypt""#,
            r#"Statement[0].Action: ":Decrypt" is not an action"#,
        ),
        (
            r#""Action": "k*:Decrypt""#,
            r#"Statement[0].Action: "k*:Decrypt" is not an action"#,
        ),
        (
            r#""Action": "kms:a:b""#,
            r#"Statement[0].Action: "kms:a:b" is not an action"#,
        ),
        (
            r#""Action": "kms: Decrypt""#,
            r#"Statement[0].Action: "kms: Decrypt" is not an action"#,
        ),
        (
            r#""NotAction": ["kms:*", "${aws:username}"]"#,
            r#"Statement[0].NotAction: "${aws:username}" is not an action"#,
        ),
        (
            r#""Resource": null"#,
            "Statement[0].Resource must be a text or a list of texts",
        ),
        (r#""Resource": []"#, "Statement[0].Resource is empty"),
        (
            r#""Resource": "${aws:username""#,
            r#"Statement[0].Resource: the variable in "${aws:username" is not well-formed"#,
        ),
        (
            r#""Resource": "arn:aws:kms:${aws:RequestedRegion}:*:key/*""#,
            r#"Statement[0].Resource: a variable may stand only after the fifth colon of "arn:aws:kms:${aws:RequestedRegion}:*:key/*""#,
        ),
    ] {
        assert_eq!(refusal(&key_policy(members), PolicyKind::Key), reason);
    }
}

#[test]
fn a_malformed_principal_is_refused() {
    for (members, reason) in [
        (
            r#""Principal": []"#,
            r#"Statement[0].Principal must be "*" or an object"#,
        ),
        (
            r#""Principal": "111122223333""#,
            r#"Statement[0].Principal must be "*" or an object"#,
        ),
        (r#""Principal": {}"#, "Statement[0].Principal is empty"),
        (
            r#""Principal": {"AWS": []}"#,
            "Statement[0].Principal.AWS is empty",
        ),
        (
            r#""Principal": {"AWS": 111122223333}"#,
            "Statement[0].Principal.AWS must be a text or a list of texts",
        ),
        (
            r#""Principal": {"aws": "*"}"#,
            "Statement[0].Principal.aws is not an element of the policy language",
        ),
        (
            r#""Principal": {"*": "*"}"#,
            "Statement[0].Principal.* is not an element of the policy language",
        ),
        (
            r#""NotPrincipal": {"AWS": "Alice"}"#,
            r#"Statement[0].NotPrincipal.AWS: "Alice" is not a principal"#,
        ),
        (
            r#""Principal": {"AWS": ["*", "arn:aws:iam::111122223333:user/*"]}"#,
            r#"Statement[0].Principal.AWS: "arn:aws:iam::111122223333:user/*" is not a principal"#,
        ),
        (
            r#""Principal": {"AWS": "arn:aws:iam::111122223333:group/Developers"}"#,
            r#"Statement[0].Principal.AWS: "arn:aws:iam::111122223333:group/Developers" is not a principal"#,
        ),
        (
            r#""Principal": {"AWS": "AIDACKCEVSQ6C2EXAMPLE"}"#,
            r#"Statement[0].Principal.AWS: "AIDACKCEVSQ6C2EXAMPLE" is not a principal"#,
        ),
        (
            r#""Principal": {"Service": ""}"#,
            r#"Statement[0].Principal.Service: "" is not a principal"#,
        ),
    ] {
        assert_eq!(refusal(&key_policy(members), PolicyKind::Key), reason);
    }
    let without = r#"{"Statement": {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}}"#;
    assert_eq!(
        refusal(without, PolicyKind::Key),
        "Statement.Principal is missing"
    );
}

#[test]
fn a_malformed_condition_is_refused() {
    const AT: &str = "Statement[0].Condition";
    for (condition, reason) in [
        ("[]", " must be an object"),
        (r#""x""#, " must be an object"),
        (
            r#"{"StringEquals": "x"}"#,
            ".StringEquals must be an object",
        ),
        (r#"{"StringEquals": []}"#, ".StringEquals must be an object"),
        (
            r#"{"StringMatches": {}}"#,
            ".StringMatches is not an operator",
        ),
        (
            r#"{"stringequals": {}}"#,
            ".stringequals is not an operator",
        ),
        (
            r#"{"NullIfExists": {}}"#,
            ".NullIfExists is not an operator",
        ),
        (
            r#"{"ForAllValues:Null": {}}"#,
            ".ForAllValues:Null is not an operator",
        ),
        (
            r#"{"ForSomeValues:StringEquals": {}}"#,
            ".ForSomeValues:StringEquals is not an operator",
        ),
        (
            r#"{"StringEquals": {"username": "x"}}"#,
            ".StringEquals.username is not a condition key",
        ),
        (
            r#"{"StringEquals": {"aws:": "x"}}"#,
            ".StringEquals.aws: is not a condition key",
        ),
        (
            r#"{"StringEquals": {"kms:EncryptionContext:${aws:username}": "x"}}"#,
            ".StringEquals.kms:EncryptionContext:${aws:username} is not a condition key",
        ),
        (
            r#"{"StringEquals": {"aws:x": []}}"#,
            ".StringEquals.aws:x is empty",
        ),
        (
            r#"{"StringEquals": {"aws:x": null}}"#,
            ".StringEquals.aws:x must be a value or a list of values",
        ),
        (
            r#"{"StringEquals": {"aws:x": {"a": "b"}}}"#,
            ".StringEquals.aws:x must be a value or a list of values",
        ),
        (
            r#"{"StringEquals": {"aws:x": ["a", ["b"]]}}"#,
            ".StringEquals.aws:x must be a value or a list of values",
        ),
        (
            r#"{"StringLike": {"aws:x": ["a", "${aws:y"]}}"#,
            r#".StringLike.aws:x: the variable in "${aws:y" is not well-formed"#,
        ),
        (
            r#"{"ArnLike": {"aws:x": "arn:${}"}}"#,
            r#".ArnLike.aws:x: the variable in "arn:${}" is not well-formed"#,
        ),
        (
            r#"{"NumericEquals": {"aws:x": [1, "two"]}}"#,
            r#".NumericEquals.aws:x: "two" is not a number"#,
        ),
        (
            r#"{"NumericEquals": {"aws:x": "${aws:y}"}}"#,
            r#".NumericEquals.aws:x: "${aws:y}" is not a number"#,
        ),
        (
            r#"{"DateLessThan": {"aws:x": "tomorrow"}}"#,
            r#".DateLessThan.aws:x: "tomorrow" is not a date"#,
        ),
        (
            r#"{"DateLessThan": {"aws:x": "2021-02-29"}}"#,
            r#".DateLessThan.aws:x: "2021-02-29" is not a date"#,
        ),
        (
            r#"{"Bool": {"aws:x": "yes"}}"#,
            r#".Bool.aws:x: "yes" is not true or false"#,
        ),
        (
            r#"{"Bool": {"aws:x": 1}}"#,
            r#".Bool.aws:x: "1" is not true or false"#,
        ),
        (
            r#"{"Null": {"aws:x": "null"}}"#,
            r#".Null.aws:x: "null" is not true or false"#,
        ),
        (
            r#"{"BinaryEquals": {"aws:x": "%%"}}"#,
            r#".BinaryEquals.aws:x: "%%" is not base64"#,
        ),
        (
            r#"{"IpAddress": {"aws:x": "203.0.113.0/33"}}"#,
            r#".IpAddress.aws:x: "203.0.113.0/33" is not an IP address or range"#,
        ),
        (
            r#"{"NotIpAddress": {"aws:x": "*"}}"#,
            r#".NotIpAddress.aws:x: "*" is not an IP address or range"#,
        ),
        (
            r#"{"ForAllValues:StringEquals": {"kms:EncryptionContext:Stage": "x"}}"#,
            ".ForAllValues:StringEquals.kms:EncryptionContext:Stage: ForAllValues holds for requests without this encryption context",
        ),
        (
            r#"{"ForAllValues:StringLikeIfExists": {"AWS:requesttag/a": "x"}}"#,
            ".ForAllValues:StringLikeIfExists.AWS:requesttag/a: ForAllValues holds for requests without this tag",
        ),
    ] {
        let document = key_policy(&format!(r#""Condition": {condition}"#));
        assert_eq!(refusal(&document, PolicyKind::Key), format!("{AT}{reason}"));
    }
}

#[test]
fn an_identity_policy_has_no_principal_and_lacks_neither_actions_nor_resources() {
    for (statement, reason) in [
        (
            r#"{"Effect": "Allow", "Action": "*", "Resource": "*", "Principal": "*"}"#,
            "Statement.Principal has no place in an identity-based policy",
        ),
        (
            r#"{"Effect": "Allow", "Action": "*", "Resource": "*", "NotPrincipal": {"AWS": "*"}}"#,
            "Statement.NotPrincipal has no place in an identity-based policy",
        ),
        (
            r#"{"Effect": "Allow", "Resource": "*"}"#,
            "Statement.Action is missing",
        ),
        (
            r#"{"Effect": "Allow", "Action": "*"}"#,
            "Statement.Resource is missing",
        ),
        (
            r#"{"Effect": "Allow", "Action": "*", "Resource": "x"}"#,
            r#"Statement.Resource: "x" is neither an ARN nor "*""#,
        ),
        (
            r#"{"Effect": "Allow", "Action": "*", "Resource": "**"}"#,
            r#"Statement.Resource: "**" is neither an ARN nor "*""#,
        ),
        (
            r#"{"Effect": "Allow", "Action": "*", "Resource": "arn:gcp:kms"}"#,
            r#"Statement.Resource: "arn:gcp:kms" is neither an ARN nor "*""#,
        ),
        (
            r#"{"Effect": "Allow", "Action": "*", "Resource": "arn:aws"}"#,
            r#"Statement.Resource: "arn:aws" is neither an ARN nor "*""#,
        ),
        (
            r#"{"Effect": "Allow", "Action": "*", "Resource": "1234abcd-12ab-34cd-56ef-1234567890ab"}"#,
            r#"Statement.Resource: "1234abcd-12ab-34cd-56ef-1234567890ab" is neither an ARN nor "*""#,
        ),
        (
            r#"{"Effect": "Allow", "Action": "*", "Resource": "*", "Sid": "a b"}"#,
            r#"Statement.Sid: "a b" is not made of letters and digits"#,
        ),
    ] {
        let document = format!(r#"{{"Version": "2012-10-17", "Statement": {statement}}}"#);
        assert_eq!(refusal(&document, PolicyKind::Identity), reason);
    }
    let twice = r#"{"Statement": [
        {"Sid": "A", "Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Sid": "A", "Effect": "Allow", "Action": "*", "Resource": "*"}]}"#;
    assert_eq!(
        refusal(twice, PolicyKind::Identity),
        r#"Statement[1].Sid: "A" is the identifier of another statement, too"#
    );
}

#[test]
fn what_has_no_effect_is_accepted_in_a_key_policy() {
    for members in [
        "",
        r#""Sid": "with spaces, twice""#,
        r#""Resource": "1234abcd-12ab-34cd-56ef-1234567890ab""#,
        r#""Resource": ["*", "arn:aws:s3:::bucket/*"]"#,
        r#""Action": ["*:*", "s3:GetObject"]"#,
        r#""Condition": {}"#,
        r#""Condition": {"StringEquals": {}}"#,
        r#""Condition": {"ForAnyValue:StringEquals": {"kms:EncryptionContext:a": "b"}}"#,
        r#""Principal": {"AWS": "*", "CanonicalUser": "79a59d", "Federated": "www.amazon.com"}"#,
    ] {
        let document = key_policy(members);
        assert!(
            Policy::parse(&document, PolicyKind::Key).is_ok(),
            "{document}"
        );
    }
    for lacking in [
        r#"{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "*"}}"#,
        r#"{"Statement": {"Effect": "Allow", "Principal": "*", "Resource": "*"}}"#,
        r#"{"Statement": [{"Effect": "Deny", "Principal": "*"}]}"#,
    ] {
        assert!(Policy::parse(lacking, PolicyKind::Key).is_ok(), "{lacking}");
    }
}
