import pytest

from modelyard.conversion.causal_process import older
from modelyard.errors import InvalidInput


def test_a_configuration_of_transformers_5_as_4_knows_it():
    assert older({"rope_theta": 1.0}) == {"rope_theta": 1.0}
    plain = {"vocab_size": 9, "rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}}
    assert older(plain) == {"vocab_size": 9, "rope_theta": 5e5}
    assert "rope_parameters" in plain
    scaled = {"rope_theta": 1e4, "rope_type": "llama3", "factor": 8.0}
    assert older({"rope_parameters": scaled}) == {
        "rope_theta": 1e4,
        "rope_scaling": {"rope_type": "llama3", "factor": 8.0},
    }


def test_layers_that_turn_in_two_ways():
    ropes = {
        "full_attention": {"rope_theta": 1e6, "rope_type": "default"},
        "sliding_attention": {"rope_theta": 1e4, "rope_type": "default"},
    }
    assert older({"rope_parameters": ropes}) == {"rope_theta": 1e6, "rope_local_base_freq": 1e4}
    with pytest.raises(InvalidInput, match="chunked"):
        older({"rope_parameters": {"chunked_attention": {"rope_theta": 1.0}}})
    with pytest.raises(InvalidInput, match="scaled"):
        older({"rope_parameters": {"sliding_attention": {"rope_theta": 1.0, "rope_type": "yarn"}}})
