"""Argument sets for `differential.py`: descriptions, lists, and --query over them."""

from argument_sets import PYTHON, reads


def describing():
    """DescribeKey and the other operations that read one key."""
    keys = "sym other rsa rsa-sign ecc hmac external disabled pending rotated rotates sm2".split()
    for key in keys:
        yield reads(f"describe-key --key-id @{{{key}}}")
        yield reads(f"get-key-rotation-status --key-id @{{{key}}}")
        yield reads(f"get-public-key --key-id @{{{key}}}")
    for key in ("sym", "rsa", "hmac", "ecc", "pending"):
        for output in ("text", "table"):
            yield reads(f"describe-key --key-id @{{{key}}} --output {output}")
    for form in ("@{sym-arn}", "@{sym-alias}", "@{sym-alias-arn}"):
        yield reads(f"describe-key --key-id {form}")
        yield reads(f"get-key-policy --policy-name default --key-id {form}")
        yield reads(f"list-resource-tags --key-id {form}")
        yield reads(f"list-grants --key-id {form} --query Grants[].Name")
        yield reads(f"get-public-key --key-id {form}")
    wrong = [
        "@{missing}",
        "arn:aws:kms:@{region}:@{account}:key/@{missing}",
        "arn:aws:kms:eu-south-9:@{account}:key/@{missing}",
        "arn:aws:kms:@{region}:999999999999:key/@{missing}",
        "arn:aws:kms:@{region}:999999999999:alias/nothing",
        "arn:aws:s3:::bucket",
        "arn:",
        "alias/nothing",
        "alias/",
        "alias/aws/ebs",
        "ALIAS/shared-sym",
        "not-a-key",
        "mrk-0123456789abcdef0123456789abcdef",
        "@{sym}x",
        " @{sym}",
        "",
        "x" * 2049,
        "\u00fc",
        "*",
    ]
    for key in wrong:
        yield reads("describe-key --key-id", key)
    for key in wrong[:3] + ["alias/nothing", "not-a-key", ""]:
        for words in ("get-key-policy --policy-name default", "get-key-rotation-status", "list-resource-tags", "list-grants",
                      "get-public-key", "list-key-policies", "list-aliases"):
            yield reads(words, "--key-id", key)
    yield reads("describe-key --key-id @{sym} --grant-tokens @{token-2}")
    yield reads("get-key-policy --key-id @{sym} --policy-name default --output text")
    yield reads("get-key-policy --key-id @{sym} --policy-name default --query Policy")
    yield reads("get-key-policy --key-id @{sym} --policy-name other")
    yield reads("get-key-policy --key-id @{sym} --policy-name ''")
    yield reads("list-key-policies --key-id @{sym}")
    yield reads("list-key-policies --key-id @{sym} --output text")
    yield reads("list-key-policies --key-id @{sym} --output table")
    yield reads("list-key-policies --key-id @{sym} --limit 1")
    yield reads("list-resource-tags --key-id @{sym}")
    yield reads("list-resource-tags --key-id @{sym} --output text")
    yield reads("list-resource-tags --key-id @{sym} --output table")
    yield reads("list-resource-tags --key-id @{sym} --max-items 1")
    yield reads("list-resource-tags --key-id @{other} --output table")
    yield reads("list-key-rotations --key-id @{rotated}", newer=True)
    yield reads("list-key-rotations --key-id @{rotated} --include-key-material ALL_KEY_MATERIAL", newer=True)
    yield reads("list-key-rotations --key-id @{rotated} --include-key-material ALL_KEY_MATERIAL --output text", newer=True)
    yield reads("list-key-rotations --key-id @{rotated} --include-key-material SOME", newer=True)
    yield reads("list-key-rotations --key-id @{sym} --max-items 1", newer=True)
    yield reads("get-key-last-usage --key-id @{disabled}", newer=True)
    yield reads("get-key-last-usage --key-id @{more-1}", newer=True)
    yield reads("get-key-rotation-status --key-id @{rotates} --output text")
    yield reads("get-key-rotation-status --key-id @{rotates} --output table")


def listing():
    """The paginated operations."""
    for words in (
        "list-keys", "list-aliases", "list-grants --key-id @{sym}", "list-retirable-grants --retiring-principal @{principal}",
    ):
        for output in ("json", "text", "table"):
            yield reads(f"{words} --output {output}")
            yield reads(f"{words} --max-items 2 --output {output}")
            yield reads(f"{words} --page-size 2 --output {output}")
        yield reads(f"{words} --limit 2")
        yield reads(f"{words} --limit 2 --output text")
        yield reads(f"{words} --limit 1 --no-paginate")
        yield reads(f"{words} --no-paginate")
        yield reads(f"{words} --max-items 3 --page-size 2")
        yield reads(f"{words} --max-items 0")
        yield reads(f"{words} --limit 0")
        yield reads(f"{words} --limit 1001")
        yield reads(f"{words} --limit -1")
        yield reads(f"{words} --limit x")
        yield reads(f"{words} --marker nonsense")
        yield reads(f"{words} --starting-token nonsense")
    for options in (
        "--max-items x", "--max-items -1", "--page-size x", "--page-size 0", "--page-size -1", "--limit 1.5", "--limit ''",
        "--limit 2 --max-items 1", "--no-paginate --max-items 1", "--no-paginate --page-size 1", "--no-paginate --starting-token x",
        "--limit 2 --page-size 1", "--marker ''", "--starting-token ''", "--starting-token eyJNYXJrZXIiOiBudWxsfQ==",
        "--starting-token eyJNYXJrZXIiOiBudWxsLCAiYm90b190cnVuY2F0ZV9hbW91bnQiOiAyfQ== --max-items 2",
        "--starting-token eyJib3RvX3RydW5jYXRlX2Ftb3VudCI6IDF9", "--starting-token e30=", "--starting-token '{'",
        "--starting-token bm9uc2Vuc2U=", "--max-items 1 --query Keys", "--max-items 1 --query NextToken", "--page-size 2 --query Keys[0] --output text",
        "--page-size 3 --query length(Keys) --output text", "--page-size 3 --query length(Keys)", "--page-size 3 --query Keys[].KeyId --output table",
        "--page-size 2 --query Nothing --output text", "--page-size 2 --query Nothing --output table", "--page-size 2 --query Nothing",
    ):
        yield reads(f"list-keys {options}")
    yield reads("list-aliases --key-id @{sym}")
    yield reads("list-aliases --key-id @{missing}")
    yield reads("list-aliases --key-id @{sym} --output table")
    yield reads("list-grants --key-id @{sym} --grant-id @{grant-1}")
    yield reads("list-grants --key-id @{sym} --grant-id nothing")
    yield reads("list-grants --key-id @{sym} --grantee-principal @{principal} --query length(Grants)")
    yield reads("list-grants --key-id @{sym} --grantee-principal arn:aws:iam::@{account}:user/nobody")
    yield reads("list-grants --key-id @{other}")
    yield reads("list-grants --key-id @{other} --output text")
    yield reads("list-grants --key-id @{other} --output table")
    yield reads("list-retirable-grants --retiring-principal nobody")
    yield reads("list-keys --region us-west-2")
    yield reads("list-aliases --region us-west-2 --output text")
    yield reads("list-aliases --region us-west-2 --output table")


QUERIES = """
KeyMetadata
KeyMetadata.Arn
KeyMetadata.[KeyId,Arn]
KeyMetadata.{state:KeyState,id:KeyId}
KeyMetadata.{a:{b:KeyId},c:[KeyState]}
length(KeyMetadata.EncryptionAlgorithms)
KeyMetadata.EncryptionAlgorithms[0]
KeyMetadata.EncryptionAlgorithms[-1]
KeyMetadata.EncryptionAlgorithms[5]
KeyMetadata.EncryptionAlgorithms[*]
KeyMetadata.Missing
KeyMetadata.Missing.more
KeyMetadata.Missing[0]
KeyMetadata.KeyId[0]
!KeyMetadata.Enabled
KeyMetadata.Enabled && KeyMetadata.KeyState
KeyMetadata.Missing || KeyMetadata.KeyState
KeyMetadata.Enabled
KeyMetadata.Description
KeyMetadata.CreationDate
type(KeyMetadata)
type(KeyMetadata.CreationDate)
to_string(KeyMetadata.Enabled)
to_string(KeyMetadata.EncryptionAlgorithms)
contains(KeyMetadata.Arn, 'key/')
starts_with(KeyMetadata.Arn, 'arn:')
ends_with(KeyMetadata.Arn, `"x"`)
join(', ', KeyMetadata.EncryptionAlgorithms)
to_number('12')
to_number('1e3')
to_number('x')
not_null(KeyMetadata.Missing, KeyMetadata.KeyState)
to_array(KeyMetadata.KeyState)
reverse(KeyMetadata.KeyState)
max(`[1, 2.5]`)
sum(`[1, 2, 3.5]`)
avg(`[1, 2]`)
avg(`[]`)
abs(`-1`)
ceil(`1.2`)
floor(`-1.2`)
sort(`[3, 1, 2]`)
sort(`["b", "a"]`)
merge(`{"a": 1}`, `{"b": 2, "a": 3}`)
map(&a, `[{"a": 1}, {"b": 2}]`)
max_by(`[{"a": 1}, {"a": 2}]`, &a)
min_by(`[{"a": "x"}, {"a": "b"}]`, &a)
sort_by(`[{"a": 2}, {"a": 1}]`, &a)
keys(`{"b": 1, "a": 2}`)
values(`{"b": 1, "a": 2}`)
`[1, 2, 3, 4, 5][1:3]`
`[1, 2, 3, 4, 5]`[1:3]
`[1, 2, 3, 4, 5]`[::-1]
`[1, 2, 3, 4, 5]`[::2]
`[1, 2, 3, 4, 5]`[:-2]
`[[1, 2], [3]]`[]
`[[1, 2], [3]]`[*]
`[1, 2, 3]`[?@ > `1`]
`[1, 2, 3]`[?@ != `2`] | [0]
`[{"a": 1, "b": [1]}, {"a": 2}]`[*].b
`[{"a": 1, "b": [1]}, {"a": 2}]`[].b[]
`[{"a": 1}, {"a": "1"}]`[?a == '1']
`[{"a": "b"}]`[?a > 'a']
`{"a": {"b": 1}, "c": {"b": 2}}`.*.b
`{"a": null, "b": false, "c": 1.0, "d": 1e20, "e": -0.5, "f": "\\u00e9"}`
`"text"`
'raw \\'quoted\\''
'a\\b'
`true` && `false`
`null` || 'x'
"KeyMetadata"."KeyId"
KeyMetadata . KeyId
(KeyMetadata).KeyId
KeyMetadata | KeyId
KeyMetadata.[Enabled, Missing, Description]
[KeyMetadata.KeyId]
[KeyMetadata.[KeyId, KeyState], KeyMetadata.Enabled]
{}
[]
[*]
[0]
{a: `1`, b: `[1, 2]`, c: `{"d": null}`}
`[{"a": 1, "b": "x"}, {"b": "yy", "a": 2}]`
`[[1, 2], ["a", "b"]]`
`[]`
`{}`
`""`
`[{}]`
`[null, true, [], {}]`
`1`
`1.50`
[
KeyMetadata[
KeyMetadata.
.KeyMetadata
KeyMetadata[abc
foo()
length()
length(`1`)
length(`1`, `2`)
abs('x')
'abc
`[1
"abc
a b
#
=
a = b
`[1, 2]`[1:2:0]
sort(`[1, "a"]`)
sum(`["a"]`)
join(`1`, `[]`)
join(',', `[1]`)
max_by(`[{"a": []}]`, &a)
&a
||
a || || b
a[0
a[1.5]
{a:}
{a:b
{"a" b}
[?a
[?a==]
a.b.
a..b
a[?b].
to_number(&a)
contains(`1`, 'x')
starts_with(`1`, 'x')
reverse(`{}`)
keys(`[]`)
(a
a)
-
-1
a-b
\u00fc
'\u4e2d\u6587'
""".strip().split("\n")


# Expressions that the CLI's own code stumbles over.
CRASHES = ("&a", "to_number(&a)", "`[null, true, [], {}]`")


def querying():
    """--query over one key, and the outputs of what comes of it."""
    for number, query in enumerate(QUERIES):
        output = ("json", "text", "table")[number % 3]
        for output in dict.fromkeys(("json", output)):
            crash = query in CRASHES and (output != "json" or "&" in query)
            meant = {"why": PYTHON, "aspects": ("rc", "stdout")} if crash else {}
            yield reads(f"describe-key --key-id @{{sym}} --output {output} --query", query, **meant)
    for query in ("", " ", "@", "*", "keys(@)", "KeyMetadata.*", "keys(KeyMetadata)", "values(KeyMetadata) | [0]", "length(KeyMetadata)", "to_string(@)"):
        yield reads("describe-key --key-id @{sym} --query", query, newer=True)
    for query in ("Keys[0]", "Keys[*].KeyId", "Keys[:2].[KeyId,KeyArn]", "Keys[?KeyId=='@{sym}'].KeyArn", "sort_by(Keys,&KeyId)[0].KeyId",
                  "Keys[].{id:KeyId}", "Truncated", "length(Keys)"):
        for output in ("json", "text", "table"):
            yield reads(f"list-keys --output {output} --query", query)
    for query in ("Grants[*].[Name,Operations]", "Grants[0]", "Grants[*].Constraints", "Grants[].Operations[]", "Grants[].{n:Name,c:Constraints}"):
        for output in ("json", "text", "table"):
            yield reads(f"list-grants --key-id @{{sym}} --output {output} --query", query)


def all_sets():
    """Every set of this file, in order."""
    for group in (describing, listing, querying):
        yield from group()
