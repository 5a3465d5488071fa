"""Every column of every table is in the dictionary."""

from headstart.analysis.columns import ARMS, LEDGER, PAIRS, TABLES, dictionary_markdown


def test_the_dictionary_explains_every_column_of_every_table():
    text = dictionary_markdown()
    for name, columns in TABLES.items():
        section = text.split(f"## {name}.csv\n")[1].split("\n## ")[0]
        for column, about in columns.items():
            assert f"| `{column}` | {about.dtype} | {about.unit} | {about.meaning} |" in section
    assert "`params_<key>`" in text and "censored" in text


def test_the_dictionary_explains_the_tables():
    text = dictionary_markdown()
    for name, columns in {"arms": ARMS, "pairs": PAIRS, "ledger": LEDGER}.items():
        assert f"## {name}.csv" in text and TABLES[name] is columns
        assert all(column.meaning for column in columns.values())
