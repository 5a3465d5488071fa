"""The process that talks says how it was started, and ends with the first one (see test_supervisor.py)."""


def test_the_log_begins_with_what_is_served(server):
    (line,) = server.lines("serving")
    assert line["address"] == server.address and line["model"] == "colours"
    assert (line["classes"], line["workers"], line["backend"], line["key"]) == (3, 2, "torch", False)
    assert len(server.processes("serve-front")) == 1 and len(server.processes("serve-worker")) == 2
