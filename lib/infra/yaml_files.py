"""YAML as this project reads it: plain values, and no key twice."""

import yaml


class UniqueKeysLoader(yaml.SafeLoader):
    """Plain YAML in which a key given twice is an error: the last would win without a word.

    >>> yaml.load("a: 1", Loader=UniqueKeysLoader)
    {'a': 1}
    """

    def construct_mapping(self, node, deep=False):
        names = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "expected a name before ':'; found a list", key.start_mark
                )
            if key.value in names:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} is given twice", key.start_mark
                )
            names.add(key.value)
        return super().construct_mapping(node, deep)
