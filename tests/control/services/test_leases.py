from modelyard.control.services.leases import LEASE_SECONDS, Leases


def test_a_lease_ends_unless_it_is_renewed() -> None:
    now = 100.0
    leases = Leases(lambda: now)
    assert not leases.expired("run", 1), "one that was never heard of gets a whole lease"
    now += LEASE_SECONDS - 1
    leases.renew("run", 1)
    now += LEASE_SECONDS - 1
    assert not leases.expired("run", 1)
    now += 2
    assert leases.expired("run", 1)
    assert not leases.expired("run", 2)
    leases.drop("run")
    assert not leases.expired("run", 1)
