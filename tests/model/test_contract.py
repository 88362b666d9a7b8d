"""What the client promises, kept with a real vLLM too: the suite that the scripted server and the counting engine pass."""

from __future__ import annotations

import pytest

from streams.evolution.records import Prompt, Turn
from tests.model.asking import PROFILE_READ
from tests.model.vllm_process import Vllm
from tests.model_server.contract import ClientContract, Engine

# It reads everything that fits its context.
TOO_LONG = Prompt((Turn("user", "word " * PROFILE_READ.max_model_len),), max_tokens=10)


class TestVllm(ClientContract):
    """vLLM on the CPU."""

    @pytest.fixture
    def engine(self, server: Vllm) -> Engine:
        return Engine(server.url, PROFILE_READ.served_name, TOO_LONG)
