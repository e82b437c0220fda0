"""How deep control structures stand in each other, in each language, with what makes counting hard in it."""

from __future__ import annotations

import textwrap

import pytest

from air_executor.fixing.metrics.nesting import chains, deepest
from air_executor.fixing.metrics.scanning import Family, tokens


def depth(family: Family, text: str) -> int | None:
    """The deepest place of a text, as if it were one function."""
    found = chains(tokens(textwrap.dedent(text), family), family)
    return None if found is None else max((len(chain.lines) for chain in found), default=0)


PYTHON = {
    "nothing": ("x = 1\n", 0),
    "else belongs to if": ("if a:\n  pass\nelif b:\n  pass\nelse:\n  pass\n", 1),
    "one in another": ("for a in b:\n  if a:\n    with c:\n      pass\n", 3),
    "in else": ("if a:\n  pass\nelse:\n  if b:\n    pass\n", 2),
    "in except": ("try:\n  pass\nexcept E:\n  while a:\n    pass\nfinally:\n  pass\n", 2),
    "async": ("async def f():\n  async with a:\n    async for b in c:\n      pass\n", 2),
    "match": ("match a:\n  case 1:\n    if b:\n      pass\n", 2),
    "match as a name": ("match = a(1)\nmatch.b = 2\nmatch(a)\nif match:\n  pass\n", 1),
    "conditions over several lines": ("if (a and\nb):\n    for c in [\nd]:\n        pass\n", 2),
    "continued": ("if a and \\\n  b:\n  if c:\n    pass\n", 2),
    "expressions": ("a = [b for b in c if d]\ne = f if g else h\n", 0),
    "in strings": ('a = """\nif b:\n  if c:\n"""\nd = \'if e: \\\' if\'\n', 0),
    "in comments": ("# if a:\n#   if b:\nif c:\n  # for\n\n  pass\n", 1),
    "comments further left": ("if a:\n# x\n  if b:\n# y\n    if c:\n      pass\n", 3),
    "tabs": ("if a:\n\tif b:\n\t\tpass\nif c:\n        if d:\n\t\tpass\n", 2),
    "prefixed strings": ("if a:\n  b = rb'''if\n if'''\n  c = f\"{d}\"\n", 1),
    "an open bracket": ("a = (\nif b:\n  if c:\n", 0),
}


@pytest.mark.parametrize("name", PYTHON)
def test_python(name: str):
    text, deepest_place = PYTHON[name]
    assert depth("python", text) == deepest_place


JAVASCRIPT = {
    "else if is one": ("if (a) { b } else if (c) { d } else { e }", 1),
    "one in another": ("for (;;) { while (a) { switch (b) { case 1: if (c) { d } } } }", 4),
    "try": ("try { if (a) {} } catch (e) { if (b) { } } finally { for (x of y) { if (c) {} } }", 3),
    "catch without name": ("try { } catch { if (a) {} }", 2),
    "do while": ("do { if (a) {} } while (b)\nif (c) { d }", 2),
    "without braces": ("if (a)\n  for (const b of c)\n    if (d) e()\nif (f) g()", 3),
    "without braces or semicolons": ("if (a) return b\nif (c) return d\nif (e) return f", 1),
    "a block after a body without braces": ("if (a) b()\n{ if (c) { d } }", 1),
    "object literals": ("if (a) b = { c: { d: { e: 1 } } }", 1),
    "arguments that are functions": ("if (a.some((b) => { return b })) { if (c) {} }", 2),
    "a callback in a body": ("if (a) { b.map(c => { if (d) {} }) }", 2),
    "template strings": ("const a = `if (b) { ${c ? `{ ${d}` : { e: 1 }.e} {{{`\nif (f) { g }", 1),
    "regular expressions": ("const a = b.match(/[/{]+\\/{/g)\nif (c) { d = e / f / g }", 1),
    "comments": ("// if (a) {\n/* { if (b) { */ if (c) { }", 1),
    "strings": ('a = \'if (b) {\' + "{ \\" {"\nif (c) {}', 1),
    "names": ("a.if(b)\nc = { if: 1, else: 2, for(d) {} }\npromise.catch((e) => { if (f) {} })", 1),
    "for await": ("for await (const a of b) { if (c) {} }", 2),
    "elements": ("if (a) { return <b c={() => { d() }}>for {e} it's {f && <g/>}</b> }", 1),
    "classes": ("class A { b(c) { if (c) { } }\n get d() { for (;;) {} } }", 1),
}


@pytest.mark.parametrize("name", JAVASCRIPT)
def test_javascript(name: str):
    text, deepest_place = JAVASCRIPT[name]
    assert depth("javascript", text) == deepest_place


GO = {
    "one in another": ("func f() {\n if a {\n  for {\n   switch b {\n   case 1:\n    select {}\n   }\n  }\n }\n}", 4),
    "else if is one": ("if a {\n} else if b {\n} else {\n if c {\n }\n}", 2),
    "semicolons in heads": ("if a := b(); a > 0 {\n for i := 0; i < a; i++ {\n }\n}", 2),
    "lists in heads": ("for _, a := range []int{1, 2} {\n if b {\n }\n}", 2),
    "maps in heads": ("for range map[string]int{} {\n if b {\n }\n}", 2),
    "an index before a brace": ("if a[i] == b {\n if c[k] {\n }\n}", 2),
    "functions in heads": ("if err := f(func() { g() }); err != nil {\n if a {\n }\n}", 2),
    "raw strings": ("a := `if b {\n {{`\nif c {\n}", 1),
    "runes": ("if a == '{' || a == '\\'' {\n}", 1),
    "structures": ("a := T{B: []C{{d: 1}}}\nif e {\n}", 1),
}


@pytest.mark.parametrize("name", GO)
def test_go(name: str):
    text, deepest_place = GO[name]
    assert depth("go", text) == deepest_place


RUST = {
    "one in another": ("fn f() { loop { while a { for b in c { if d { match e { _ => {} } } } } } }", 5),
    "else if is one": ("if a { 1 } else if b { 2 } else { if c { 3 } else { 4 } }", 2),
    "if let": ("if let Some(a) = b { while let Some(c) = d { } }", 2),
    "implementations": ("impl<T> A for B<T> { fn f() { if c { } } }", 1),
    "bounds": ("fn f<F>(f: F) where F: for<'a> Fn(&'a str) { if a { } }", 1),
    "guards": ("match a { Some(b) if b > 0 => { if c { } } _ if d(|x| { x }) => {} }", 2),
    "characters": ("fn f() { if b == '{' || b == '\\'' || b == '\\u{7b}' { } }", 1),
    "lifetimes": ("fn f<'a>(b: &'a str) { if b == 'c' { let c: &'a str; 'd: loop { break 'd } } }", 2),
    "raw strings": ('if a { let b = r#"{ "if { "#; let c = br"{"; }', 1),
    "nested comments": ("/* { /* if { */ { */ if a { }", 1),
    "values in arguments": ("if f(A { b: 1 }) { if c { } }", 2),
}


@pytest.mark.parametrize("name", RUST)
def test_rust(name: str):
    text, deepest_place = RUST[name]
    assert depth("rust", text) == deepest_place


DART = {
    "one in another": ("f() { for (var a in b) { try { if (c) {} } on D catch (e) { if (g) {} } } }", 3),
    "in collections": ("var a = [if (b) c, for (var d in e) if (f) g, h];\nif (i) {}", 2),
    "strings": ("var a = '''if (b) {'''; var c = r'{'; if (d) {}", 1),
}


@pytest.mark.parametrize("name", DART)
def test_dart(name: str):
    text, deepest_place = DART[name]
    assert depth("dart", text) == deepest_place


@pytest.mark.parametrize("family", ["javascript", "go", "rust", "dart"])
@pytest.mark.parametrize("text", ["if (a) { {", "}", "{ } }", "if (a) { } } if (b) {"])
def test_braces_that_do_not_fit_are_not_guessed(family: Family, text: str):
    assert depth(family, text) is None


def test_functions_start_anew():
    text = (
        "for a in b:\n  if c:\n    def f():\n      while d:\n        if e:\n          pass\n    with g:\n      pass\n"
    )
    found = chains(tokens(text, "python"), "python")
    assert found is not None
    assert [(chain.lines, chain.function) for chain in found] == [
        ((1,), 0), ((1, 2), 0), ((4,), 3), ((4, 5), 3), ((1, 2, 7), 0)
    ]  # fmt: skip
    assert deepest(found, [(3, 6)]) == [2]


def test_functions_between_braces_start_anew():
    text = "function f() {\n if (a) {\n  g(() => {\n   if (b) {\n   }\n  })\n  for (;;) {}\n }\n}\n"
    found = chains(tokens(text, "javascript"), "javascript")
    assert found is not None
    assert deepest(found, [(1, 9)]) == [2]
    assert deepest(found, [(1, 9), (3, 6)]) == [2, 1]
    assert deepest(found, [(3, 6), (1, 9)]) == [1, 2]
    assert deepest(found, [(20, 30)]) == [0]
