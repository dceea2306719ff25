"""Values out of JSON texts; most are tested with the files that hold them."""

from tsatal.formats.json_values import repeated_keys


def test_keys_that_stand_twice_are_named_once_each() -> None:
    text = '{"database": {"a": {"subset": "x", "subset": "y"}, "b": {}, "b": {}, "b": {}}}'
    assert repeated_keys(text) == ["subset", "b"]
    assert repeated_keys('{"a": {"x": 1}, "b": {"x": 1}}') == []
