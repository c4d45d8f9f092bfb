"""Marks of the tests in features_*.py."""


def own_rig(**options):
    """A gantryd of its own, with these options of `Rig`."""
    def mark(test):
        test.rig_options = options
        return test
    return mark


def once(test):
    """Not a second time with kill -9 of gantryd: it deals with gantryd's end itself."""
    test.once = True
    return test
