"""What is a secret, and what only looks like one."""

from __future__ import annotations

import pytest

from grace_client.policy import secrets

HF = "hf_" + "aBcDeFgHiJ" * 3
SECRET = "a literal where a secret belongs"


SECRETS = [
    ("HF_TOKEN", HF, "a Hugging Face token"),
    ("MODEL", f"https://user:{HF}@huggingface.co/x", "a Hugging Face token"),
    ("OPENAI_API_KEY", "sk-proj-" + "x1" * 20, "an API key"),
    ("DEEPSEEK", "sk-" + "0a" * 16, "an API key"),
    ("GH", "ghp_" + "a1" * 18, "a GitHub token"),
    ("X", "glpat-" + "a1" * 10, "a GitLab token"),
    ("AWS_ACCESS_KEY_ID", "AKIA" + "ABCD1234" * 2, "an AWS access key"),
    ("DATABASE_URL", "postgres://me:pass@db:5432/x", "a password inside an address"),
    ("PEM", "-----BEGIN RSA PRIVATE KEY-----\nabc", "a private key"),
    ("JWT", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.sig", "a signed web token"),
    ("HEADER", "Bearer abcdef0123456789", "a bearer token"),
    ("HUGGING_FACE_HUB_TOKEN", "YOUR_TOKEN_HERE", SECRET),
    ("VLLM_API_KEY", "mykey", SECRET),
    ("WANDB_API_KEY", "0123456789abcdef0123456789abcdef01234567", SECRET),
    ("POSTGRES_PASSWORD", "postgres", SECRET),
    ("DB_PWD", "x1y2", SECRET),
    ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG", SECRET),
    ("apiKey", "abc", SECRET),
    ("wandb.apikey", "abc", SECRET),
    ("token", "abc", SECRET),
]
"""Variables that hold a secret, and its kind; tests of the chart read them too."""

HARMLESS = [
    ("TOKENIZERS_PARALLELISM", "false"),
    ("MAX_TOKENS", "4096"),
    ("MAX_NUM_BATCHED_TOKENS", "abc"),
    ("TOKENIZER", "google/gemma-2-9b-it"),
    ("TOKENIZER_MODE", "auto"),
    ("PAD_TOKEN", "<pad>"),
    ("EOS_TOKEN", "</s>"),
    ("STOP_TOKEN", "<|eot_id|>"),
    ("HF_TOKEN_PATH", "/secrets/hf/token"),
    ("HF_TOKEN", "/run/secrets/hf-token"),
    ("HF_TOKEN", "$(HF_TOKEN_FROM_SECRET)"),
    ("HF_TOKEN", "${HF_TOKEN}"),
    ("HF_TOKEN", ""),
    ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"),
    ("OPENAI_API_KEY", "EMPTY"),
    ("VLLM_API_KEY", "none"),
    ("API_KEY_FILE", "api-key.txt"),
    ("API_KEY", "./key.pem"),
    ("API_KEY_HEADER", "X-Api-Key"),
    ("SORT_KEY", "participant"),
    ("PARTITION_KEY", "trial_id"),
    ("PUBLIC_KEY", "ssh-ed25519 AAAA"),
    ("KEY", "value"),
    ("KEYCLOAK_REALM", "lab"),
    ("MONKEY", "banana"),
    ("SECRET_NAME", "huggingface"),
    ("PASSWORD_FILE", "pw"),
    ("PWD", "/workspace"),
    ("TOKEN_ENDPOINT", "https://auth.example.org/token"),
    ("AUTH_TOKEN", "https://auth.example.org/token"),
    ("MODEL_REVISION", "0123456789abcdef0123456789abcdef01234567"),
    ("IMAGE_DIGEST", "sha256:" + "0a" * 32),
    ("HF_HOME", "/weights/hf_home"),
    ("HF_HUB_ENABLE_HF_TRANSFER", "1"),
    ("MODEL", "sk-learn"),
    ("SERVER", "http://server:8000/v1"),
    ("PROXY", "http://proxy.example.org:3128"),
    ("DATABASE_URL", "postgres://me:$(PASSWORD)@db/x"),
    ("NAME", "hf_transfer"),
    ("", "x"),
]
"""Variables that only look like it."""


@pytest.mark.parametrize(("name", "value", "kind"), SECRETS)
def test_secrets_are_found(name: str, value: str, kind: str) -> None:
    """By their shape under any name, and under a secret's name in any shape."""
    assert secrets.in_variable(name, value) == kind


@pytest.mark.parametrize(("name", "value"), HARMLESS)
def test_what_only_looks_like_a_secret(name: str, value: str) -> None:
    """References, paths, numbers, switches, addresses, and names that merely contain such a word."""
    assert secrets.in_variable(name, value) is None


@pytest.mark.parametrize(
    ("words", "at"),
    [
        (["--api-key", "abc123"], [1]),
        (["--api-key=abc123"], [0]),
        (["--model", "x", "--hf-token", HF], [3]),
        (["--token=correct"], [0]),
        (["sh", "-c", "huggingface-cli login --token correct-horse"], [2]),
        (["sh", "-c", "export HF_TOKEN=correct && vllm serve x"], [2]),
        (["sh", "-c", "HF_TOKEN='correct' vllm serve x"], [2]),
        (["sh", "-c", "curl -H 'Authorization: Bearer 0123456789abcdef' x"], [2]),
        (["mysql", "--password=letmein"], [1]),
    ],
)
def test_secrets_in_commands_are_found(words: list[str], at: list[int]) -> None:
    """In flags, apart or joined, and in shell text; the position of the word."""
    assert [i for i, _ in secrets.in_words(words)] == at


@pytest.mark.parametrize(
    "words",
    [
        ["--api-key", "$(VLLM_API_KEY)"],
        ["--api-key=$VLLM_API_KEY"],
        ["--api-key-file", "/secrets/api-key"],
        ["--api-key-file=/secrets/api-key"],
        ["--max-tokens", "512"],
        ["--max-num-batched-tokens=8192"],
        ["--tokenizer", "google/gemma-2-9b-it"],
        ["--tokenizer-mode=auto"],
        ["--stop-token", "</s>"],
        ["--api-key", "--port", "8000"],
        ["--api-key"],
        ["--enable-token"],
        ["sh", "-c", "export HF_TOKEN=$(cat /secrets/token); vllm serve x"],
        ["sh", "-c", 'HF_TOKEN="$HF_TOKEN" vllm serve x --api-key "${KEY}"'],
        ["sh", "-c", "test -n \"$HF_TOKEN\" || echo 'no token: set one'"],
        ["python", "-c", "key = options['token']"],
        ["curl", "-H", "Authorization: Bearer $TOKEN"],
    ],
)
def test_commands_without_secrets(words: list[str]) -> None:
    """References, files, and flags that merely contain such a word."""
    assert list(secrets.in_words(words)) == []
