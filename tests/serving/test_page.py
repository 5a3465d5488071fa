"""The page needs nothing but itself, and its headers forbid it everything else."""

import base64
import hashlib
import re

from headstart.serving.page import page
from headstart.serving.service import Model
from headstart.serving.settings import Settings

MODEL = Model("a<b>", ("cat & dog", "<script>alert(1)</script>"), 32, None)


def test_no_external_file_and_no_inline_handlers():
    shown, _ = page(MODEL, Settings())
    assert re.findall(r"""(?:src|href|action)\s*=\s*["']""", shown) == []
    assert "http://" not in shown and "https://" not in shown and "@import" not in shown and "url(" not in shown
    assert re.findall(r"\son\w+=", shown) == [] and re.findall(r"\sstyle=", shown) == []
    assert "innerHTML" not in shown and "localStorage" not in shown and "document.cookie" not in shown


def test_names_of_others_are_text():
    shown, _ = page(MODEL, Settings())
    assert "<h1>a&lt;b&gt;</h1>" in shown and "cat &amp; dog, &lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert shown.count("<script>") == 1


def test_the_policy_allows_this_script_and_this_style_alone():
    shown, headers = page(MODEL, Settings())
    rules = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
    assert rules["default-src"] == "'none'" and rules["connect-src"] == "'self'" and "unsafe" not in str(rules)
    for kind, rule in (("style", "style-src"), ("script", "script-src")):
        text = re.search(rf"<{kind}>(.*?)</{kind}>", shown, re.DOTALL)[1]
        assert rules[rule] == f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_it_asks_for_a_key_only_where_one_is_needed_and_never_holds_it():
    assert 'id="key"' not in page(MODEL, Settings())[0]
    with_key, _ = page(MODEL, Settings(key="very-secret"))
    assert 'type="password"' in with_key and "very-secret" not in with_key


def test_it_says_why_nothing_is_explained_and_how_many_classes_there_are():
    many = Model("m", tuple(map(str, range(100))), 32, "it has no maps")
    shown, _ = page(many, Settings())
    assert "Tells 100 classes apart: 0, 1, 2" in shown and "and 88 more." in shown
    assert "No Grad-CAM: it has no maps" in shown and 'data-explains="no"' in shown


def test_the_server_sends_it_with_its_headers(server):
    answer = server.client.get("/")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
    assert "script-src 'sha256-" in answer.headers["content-security-policy"]
    assert "<h1>colours</h1>" in answer.text and "blue, green, red" in answer.text
