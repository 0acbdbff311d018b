from modelyard.training.early_stop import StopState


def test_counts_the_epochs_without_progress() -> None:
    state = StopState()
    seen = [
        state.observe(epoch, loss, 0.1) for epoch, loss in enumerate([3.0, 2.0, 1.95, 1.91, 1.8], start=1)
    ]
    assert seen == [True, True, False, False, True]
    assert (state.best, state.best_epoch, state.waited) == (1.8, 5, 0)
    state.observe(6, 1.75, 0.1)
    state.observe(7, 1.85, 0.1)
    assert (state.best_epoch, state.waited) == (5, 2)
