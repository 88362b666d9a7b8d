"""The model behind one small interface: a client, and engines that speak the OpenAI protocol."""
