"""Marks of the tests in features_*.py."""


def own_rig(**options):
    """A gantryd of its own, with these options of `Rig`."""
    def mark(test):
        test.rig_options = options
        return test
    return mark


def with_systemd(test):
    """Where systemd makes the cgroups (GANTRY_TEST_CGROUP_DRIVER), and nowhere else."""
    test.with_systemd = True
    return test


def with_apparmor(test):
    """Where the kernel confines by AppArmor and profiles can be loaded, and nowhere else."""
    test.with_apparmor = True
    return test


def once(test):
    """Not a second time with kill -9 of gantryd: it deals with gantryd's end itself."""
    test.once = True
    return test
