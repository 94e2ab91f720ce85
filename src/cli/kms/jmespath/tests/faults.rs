//! What is said of expressions that mean nothing; every text is the one of jmespath.py.

use serde_json::Value;

use super::{compile, each_row, search};

/// What no expression is: `$ TEXT`, then the message.
const UNREADABLE: &str = r###"
$ foo.
Expecting: ['quoted_identifier', 'unquoted_identifier', 'lbracket', 'lbrace'], got: eof: Parse error at column 4, token "" (EOF), for expression:
"foo."
     ^
$ foo[
Invalid jmespath expression: Incomplete expression:
"foo["
     ^
$ foo[*
Invalid jmespath expression: Incomplete expression:
"foo[*"
      ^
$ foo[?a
Invalid jmespath expression: Incomplete expression:
"foo[?a"
       ^
$ foo[0:
syntax error: Parse error at column 6, token "" (EOF), for expression:
"foo[0:"
       ^
$ f(
Invalid jmespath expression: Incomplete expression:
"f("
   ^
$ (a
Invalid jmespath expression: Incomplete expression:
"(a"
   ^
$ {a
Invalid jmespath expression: Incomplete expression:
"{a"
   ^
$ {a: b
Invalid jmespath expression: Incomplete expression:
"{a: b"
      ^
$ a ||
Invalid jmespath expression: Incomplete expression:
"a ||"
     ^
$ !
Invalid jmespath expression: Incomplete expression:
"!"
  ^
$ &
Invalid jmespath expression: Incomplete expression:
"&"
  ^
$ foo bar
Unexpected token: bar: Parse error at column 4, token "bar" (UNQUOTED_IDENTIFIER), for expression:
"foo bar"
     ^
$ foo..bar
Expecting: ['quoted_identifier', 'unquoted_identifier', 'lbracket', 'lbrace'], got: dot: Parse error at column 4, token "." (DOT), for expression:
"foo..bar"
     ^
$ foo.`1`
Expecting: ['quoted_identifier', 'unquoted_identifier', 'lbracket', 'lbrace'], got: literal: Parse error at column 4, token "1" (LITERAL), for expression:
"foo.`1`"
     ^
$ foo.1
Expecting: ['quoted_identifier', 'unquoted_identifier', 'lbracket', 'lbrace'], got: number: Parse error at column 4, token "1" (NUMBER), for expression:
"foo.1"
     ^
$ 1
invalid token: Parse error at column 0, token "1" (NUMBER), for expression:
"1"
 ^
$ *a
Unexpected token: a: Parse error at column 1, token "a" (UNQUOTED_IDENTIFIER), for expression:
"*a"
  ^
$ a[*]b
Unexpected token: b: Parse error at column 4, token "b" (UNQUOTED_IDENTIFIER), for expression:
"a[*]b"
     ^
$ a *
invalid token: Parse error at column 2, token "*" (STAR), for expression:
"a *"
   ^
$ a !b
invalid token: Parse error at column 2, token "!" (NOT), for expression:
"a !b"
   ^
$ a{b: c}
invalid token: Parse error at column 1, token "{" (LBRACE), for expression:
"a{b: c}"
  ^
$ a | | b
invalid token: Parse error at column 4, token "|" (PIPE), for expression:
"a | | b"
     ^
$ [0 1]
Expecting: rbracket, got: number: Parse error at column 3, token "1" (NUMBER), for expression:
"[0 1]"
    ^
$ [a,]
invalid token: Parse error at column 3, token "]" (RBRACKET), for expression:
"[a,]"
    ^
$ [a b]
Expecting: comma, got: unquoted_identifier: Parse error at column 3, token "b" (UNQUOTED_IDENTIFIER), for expression:
"[a b]"
    ^
$ (a b)
Expecting: rparen, got: unquoted_identifier: Parse error at column 3, token "b" (UNQUOTED_IDENTIFIER), for expression:
"(a b)"
    ^
$ {1: a}
Expecting: ['quoted_identifier', 'unquoted_identifier'], got: number: Parse error at column 1, token "1" (NUMBER), for expression:
"{1: a}"
  ^
$ {a: b,}
Expecting: ['quoted_identifier', 'unquoted_identifier'], got: rbrace: Parse error at column 6, token "}" (RBRACE), for expression:
"{a: b,}"
       ^
$ {a, b}
Expecting: colon, got: comma: Parse error at column 2, token "," (COMMA), for expression:
"{a, b}"
   ^
$ {a: }
invalid token: Parse error at column 4, token "}" (RBRACE), for expression:
"{a: }"
     ^
$ )
invalid token: Parse error at column 0, token ")" (RPAREN), for expression:
")"
 ^
$ a[0:1:2:3]
syntax error: Parse error at column 7, token ":" (COLON), for expression:
"a[0:1:2:3]"
        ^
$ a[0:b]
syntax error: Parse error at column 4, token "b" (UNQUOTED_IDENTIFIER), for expression:
"a[0:b]"
     ^
$ a[x]
Expecting: star, got: unquoted_identifier: Parse error at column 2, token "x" (UNQUOTED_IDENTIFIER), for expression:
"a[x]"
   ^
$ a['x']
Expecting: star, got: literal: Parse error at column 2, token "x" (LITERAL), for expression:
"a['x']"
   ^
$ f(,)
invalid token: Parse error at column 2, token "," (COMMA), for expression:
"f(,)"
   ^
$ "a"(b)
Quoted identifier not allowed for function names.: Parse error at column 0, token "(" (LPAREN), for expression:
""a"(b)"
 ^
$ a."b"(c)
Quoted identifier not allowed for function names.: Parse error at column 0, token "(" (LPAREN), for expression:
"a."b"(c)"
 ^
$ @(a)
Invalid function name '@': Parse error at column 0, token "@" (CURRENT), for expression:
"@(a)"
 ^
$ `1`(a)
Invalid function name '1': Parse error at column 0, token "1" (LITERAL), for expression:
"`1`(a)"
 ^
$ `[1, "a\n", null, true, 1e16, {"k": "it's \"é\u200b"}]`(a)
Invalid function name '[1, 'a\n', None, True, 1e+16, {'k': 'it\'s "é\u200b'}]': Parse error at column 0, token "[1, 'a\n', None, True, 1e+16, {'k': 'it\'s "é\u200b'}]" (LITERAL), for expression:
"`[1, "a\n", null, true, 1e16, {"k": "it's \"é\u200b"}]`(a)"
 ^
$ `"a\nb"` 'c'
Unexpected token: c: Parse error at column 9, token "c" (LITERAL), for expression:
"`"a\nb"` 'c'"
          ^
$ a `{"b": false}`
Unexpected token: {'b': False}: Parse error at column 2, token "{'b': False}" (LITERAL), for expression:
"a `{"b": false}`"
   ^
$ a `null`
Unexpected token: None: Parse error at column 2, token "None" (LITERAL), for expression:
"a `null`"
   ^
$ a 007
Unexpected token: 7: Parse error at column 2, token "7" (NUMBER), for expression:
"a 007"
   ^
$ =
Bad jmespath expression: Unknown token '=':
=
^
$ a = b
Bad jmespath expression: Unknown token '=':
a = b
  ^
$ -
Bad jmespath expression: Unknown token '-':
-
^
$ [-]
Bad jmespath expression: Unknown token '-':
[-]
 ^
$ a -
Bad jmespath expression: Unknown token '-':
a -
  ^
$ #
Bad jmespath expression: Unknown token #:
#
^
$ é
Bad jmespath expression: Unknown token é:
é
^
$ 'é' ~
Bad jmespath expression: Unknown token ~:
'é' ~
    ^
$ "a
Bad jmespath expression: Unclosed " delimiter:
"a
^
$ 'a
Bad jmespath expression: Unclosed ' delimiter:
'a
^
$ `a
Bad jmespath expression: Unclosed ` delimiter:
`a
^
$ 'a\'
Bad jmespath expression: Unclosed ' delimiter:
'a\'
^
$ `"a`
Bad jmespath expression: Bad token "a:
`"a`
^
$ `{"a"`
Bad jmespath expression: Bad token {"a":
`{"a"`
^
$ "\x"
Bad jmespath expression: Invalid \escape:
"\x"
^
$ "a\u12"
Bad jmespath expression: Invalid \uXXXX escape:
"a\u12"
^
$ a & b
Unexpected token: &: Parse error at column 2, token "&" (EXPREF), for expression:
"a & b"
   ^
$ a.&b
Expecting: ['quoted_identifier', 'unquoted_identifier', 'lbracket', 'lbrace'], got: expref: Parse error at column 2, token "&" (EXPREF), for expression:
"a.&b"
   ^
$ a[]b
Unexpected token: b: Parse error at column 3, token "b" (UNQUOTED_IDENTIFIER), for expression:
"a[]b"
    ^
$ a[?b]c
Unexpected token: c: Parse error at column 5, token "c" (UNQUOTED_IDENTIFIER), for expression:
"a[?b]c"
      ^
$ ||
invalid token: Parse error at column 0, token "||" (OR), for expression:
"||"
 ^
$ a < > b
invalid token: Parse error at column 4, token ">" (GT), for expression:
"a < > b"
     ^
$ [::x]
syntax error: Parse error at column 3, token "x" (UNQUOTED_IDENTIFIER), for expression:
"[::x]"
    ^
$ a.*b
Unexpected token: b: Parse error at column 3, token "b" (UNQUOTED_IDENTIFIER), for expression:
"a.*b"
    ^
$ $.a
Bad jmespath expression: Unknown token $:
$.a
^
$ a.b.
Expecting: ['quoted_identifier', 'unquoted_identifier', 'lbracket', 'lbrace'], got: eof: Parse error at column 4, token "" (EOF), for expression:
"a.b."
     ^
"###;

/// `given DOCUMENT`, then what cannot be found in it: `EXPRESSION => MESSAGE`.
const UNANSWERABLE: &str = r###"
given {"foo": [1, "a", null], "bar": {"a": 1}, "n": null, "s": "text", "objs": [{"k": 1}, {"k": "x"}], "bools": [{"k": true}]}
nope(@) => Unknown function: nope()
foo[*].nope(@) => Unknown function: nope()
nope(abs(s)) => In function abs(), invalid type for value: text, expected one of: ['number'], received: "string"
abs(nope(s), s) => Unknown function: nope()
abs() => Expected 1 argument for function abs(), received 0
abs(s, s) => Expected 1 argument for function abs(), received 2
contains(s) => Expected 2 arguments for function contains(), received 1
not_null() => Expected at least 1 argument for function not_null(), received 0
merge() => Expected at least 1 argument for function merge(), received 0
abs(s) => In function abs(), invalid type for value: text, expected one of: ['number'], received: "string"
abs(n) => In function abs(), invalid type for value: None, expected one of: ['number'], received: "null"
abs(foo) => In function abs(), invalid type for value: [1, 'a', None], expected one of: ['number'], received: "array"
abs(bar) => In function abs(), invalid type for value: {'a': 1}, expected one of: ['number'], received: "object"
abs(`true`) => In function abs(), invalid type for value: True, expected one of: ['number'], received: "boolean"
abs(&s) => In function abs(), invalid type for value: <jmespath.visitor._Expression object>, expected one of: ['number'], received: "expref"
avg(foo) => In function avg(), invalid type for value: a, expected one of: ['array-number'], received: "str"
avg(n) => In function avg(), invalid type for value: None, expected one of: ['array-number'], received: "null"
sum(`[1, true]`) => In function sum(), invalid type for value: True, expected one of: ['array-number'], received: "bool"
sum(`["a"]`) => In function sum(), invalid type for value: a, expected one of: ['array-number'], received: "str"
max(foo) => In function max(), invalid type for value: a, expected one of: ['array-number', 'array-string'], received: "str"
max(`[true]`) => In function max(), invalid type for value: True, expected one of: ['array-number', 'array-string'], received: "bool"
max(`[null]`) => In function max(), invalid type for value: None, expected one of: ['array-number', 'array-string'], received: "NoneType"
min(`["a", 1.5]`) => In function min(), invalid type for value: 1.5, expected one of: ['array-number', 'array-string'], received: "float"
sort(`["a", {"k": "v"}]`) => In function sort(), invalid type for value: {'k': 'v'}, expected one of: ['array-string', 'array-number'], received: "dict"
sort(`[[1]]`) => In function sort(), invalid type for value: [1], expected one of: ['array-string', 'array-number'], received: "list"
sort(bar) => In function sort(), invalid type for value: {'a': 1}, expected one of: ['array-string', 'array-number'], received: "object"
join(s, s) => In function join(), invalid type for value: text, expected one of: ['array-string'], received: "string"
join(s, foo) => In function join(), invalid type for value: 1, expected one of: ['array-string'], received: "int"
join(`1`, foo) => In function join(), invalid type for value: 1, expected one of: ['string'], received: "number"
keys(foo) => In function keys(), invalid type for value: [1, 'a', None], expected one of: ['object'], received: "array"
values(s) => In function values(), invalid type for value: text, expected one of: ['object'], received: "string"
length(`1`) => In function length(), invalid type for value: 1, expected one of: ['string', 'array', 'object'], received: "number"
length(n) => In function length(), invalid type for value: None, expected one of: ['string', 'array', 'object'], received: "null"
reverse(bar) => In function reverse(), invalid type for value: {'a': 1}, expected one of: ['array', 'string'], received: "object"
starts_with(s, `1`) => In function starts_with(), invalid type for value: 1, expected one of: ['string'], received: "number"
ends_with(n, s) => In function ends_with(), invalid type for value: None, expected one of: ['string'], received: "null"
contains(`1`, s) => In function contains(), invalid type for value: 1, expected one of: ['array', 'string'], received: "number"
contains(s, `1`) => 'in <string>' requires string as left operand, not int
contains(s, n) => 'in <string>' requires string as left operand, not NoneType
contains(s, &a) => 'in <string>' requires string as left operand, not _Expression
map(s, foo) => In function map(), invalid type for value: text, expected one of: ['expref'], received: "string"
map(&a, s) => In function map(), invalid type for value: text, expected one of: ['array'], received: "string"
merge(s) => In function merge(), invalid type for value: text, expected one of: ['object'], received: "string"
merge(bar, `1`) => 'int' object is not iterable
merge(bar, n) => 'NoneType' object is not iterable
merge(bar, s) => dictionary update sequence element #0 has length 1; 2 is required
merge(bar, foo) => cannot convert dictionary update sequence element #0 to a sequence
merge(bar, `[[1]]`) => dictionary update sequence element #0 has length 1; 2 is required
merge(bar, `[[[], 1]]`) => unhashable type: 'list'
merge(bar, `[[{}, 1]]`) => unhashable type: 'dict'
merge(bar, `[["a", 1], 2.5]`) => cannot convert dictionary update sequence element #1 to a sequence
merge(bar, &a) => '_Expression' object is not iterable
sort_by(foo, &a) => In function sort_by(), invalid type for value: 1, expected one of: ['string', 'number'], received: "null"
sort_by(objs, &k) => In function sort_by(), invalid type for value: x, expected one of: ['number'], received: "string"
sort_by(bools, &k) => In function sort_by(), invalid type for value: {'k': True}, expected one of: ['string', 'number'], received: "boolean"
sort_by(s, &k) => In function sort_by(), invalid type for value: text, expected one of: ['array'], received: "string"
sort_by(objs, s) => In function sort_by(), invalid type for value: text, expected one of: ['expref'], received: "string"
max_by(objs, &k) => '>' not supported between instances of 'str' and 'int'
min_by(objs, &k) => '<' not supported between instances of 'str' and 'int'
max_by(bools, &k) => In function max_by(), invalid type for value: True, expected one of: ['number', 'string'], received: "boolean"
min_by(objs, &none) => In function min_by(), invalid type for value: None, expected one of: ['number', 'string'], received: "null"
to_number(&a) => int() argument must be a string, a bytes-like object or a real number, not '_Expression'
s < `1` => '<' not supported between instances of 'str' and 'int'
`1.5` >= s => '>=' not supported between instances of 'float' and 'str'
foo[?@ > `0`] => '>' not supported between instances of 'str' and 'int'
foo[::0] => slice step cannot be zero
foo[::-0].a => slice step cannot be zero
to_number(s, s) => Expected 1 argument for function to_number(), received 2
length(&a) => In function length(), invalid type for value: <jmespath.visitor._Expression object>, expected one of: ['string', 'array', 'object'], received: "expref"
sort_by(objs, &nope(@)) => Unknown function: nope()
"###;

#[test]
fn what_is_no_expression_is_refused_with_its_place() {
    for block in UNREADABLE.split("\n$ ").skip(1) {
        let (expression, message) = block.split_once('\n').expect("a message");
        let found = compile(expression).err().map(|e| e.to_string());
        assert_eq!(found.as_deref(), Some(message.trim_end()), "{expression}");
    }
}

#[test]
fn texts_with_white_space_at_their_ends_are_refused_with_their_place() {
    for (expression, message) in [
        ("", "Invalid JMESPath expression: cannot be empty."),
        (
            " ",
            "Invalid jmespath expression: Incomplete expression:\n\" \"\n  ^",
        ),
        (
            "a == ",
            "Invalid jmespath expression: Incomplete expression:\n\"a == \"\n      ^",
        ),
        (
            "\"a\tb\"",
            "Bad jmespath expression: Invalid control character at:\n\"a\tb\"\n^",
        ),
        (
            "a\n  b",
            "Unexpected token: b: Parse error at column 4, token \"b\" (UNQUOTED_IDENTIFIER), for expression:\n\"a\n  b\"\n     ^",
        ),
        (
            "foo[\n",
            "Invalid jmespath expression: Incomplete expression:\n\"foo[\n\"\n      ^",
        ),
    ] {
        let found = compile(expression).err().map(|e| e.to_string());
        assert_eq!(found.as_deref(), Some(message), "{expression:?}");
    }
}

#[test]
fn what_cannot_be_evaluated_is_said_in_the_words_of_python() {
    each_row(UNANSWERABLE, |expression, document, message| {
        let found = search(expression, document).err().map(|e| e.to_string());
        assert_eq!(found.as_deref(), Some(message), "{expression}");
    });
}

#[test]
fn an_expression_reference_is_no_result() {
    for expression in ["&a", "[&a]", "{a: &a}", "not_null(&a)", "to_array(&a)"] {
        let found = search(expression, &Value::Bool(true)).err();
        let message = found.map(|e| e.to_string());
        assert_eq!(
            message.as_deref(),
            Some("Circular reference detected"),
            "{expression}"
        );
    }
}
