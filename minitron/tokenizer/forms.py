"""Chat formats: ours, and those of the imported models that the chat program can render (docs/interop.md).

A form is text in which special tokens are written by their names. Knows nothing about ids.
"""

import re
from dataclasses import dataclass

ROLES = ("system", "user", "assistant")
_SPECIAL = re.compile(r"<\|\w+\|>")


@dataclass(frozen=True)
class Form:
    """The text around messages: `before` each one (with {role} in it), `after` each one, and at the `start` of the dialogue."""

    before: str
    after: str
    start: str = ""
    strip: bool = False  # whether white space around a message's text is left out

    @property
    def special(self) -> list[str]:
        """The names of its special tokens."""
        text = self.start + "".join(self.before.format(role=role) for role in ROLES) + self.after
        return list(dict.fromkeys(_SPECIAL.findall(text)))

    @property
    def opener(self) -> str:
        """The special token that an answer begins with; by it a chat template is recognised."""
        found = _SPECIAL.match(self.before.format(role="assistant"))
        assert found
        return found[0]

    def jinja(self) -> str:
        """This form as a Jinja template."""
        around = [repr(part) for part in self.before.split("{role}")]
        content = "message['content'] | trim" if self.strip else "message['content']"
        start = f"{{% if loop.first %}}{{{{ {self.start!r} }}}}{{% endif %}}" if self.start else ""
        before = f"{{{{ {around[0]} + message['role'] + {around[1]} }}}}"
        after = f"{{{{ {self.after!r} }}}}"
        return (
            f"{{% for message in messages %}}{start}{before}{{{{ {content} }}}}{after}{{% endfor %}}"
            f"{{% if add_generation_prompt %}}{{{{ {self.before.format(role='assistant')!r} }}}}{{% endif %}}"
        )

    def ollama(self) -> str:
        """This form as a template for ollama (Go's text/template), which strips no white space."""
        before = self.before.replace("{role}", "{{ .Role }}")
        asked = self.before.format(role="assistant")
        return f"{self.start}{{{{ range .Messages }}}}{before}{{{{ .Content }}}}{self.after}{{{{ end }}}}{asked}"


OURS = Form("<|{role}|>", "<|end|>")
CHATML = Form("<|im_start|>{role}\n", "<|im_end|>\n")
LLAMA_3 = Form("<|start_header_id|>{role}<|end_header_id|>\n\n", "<|eot_id|>", start="<|begin_of_text|>", strip=True)
FORMS = (OURS, CHATML, LLAMA_3)


def split(text: str) -> list[str]:
    """Splits a form's text at its special tokens, which become parts of their own."""
    return [part for part in re.split(f"({_SPECIAL.pattern})", text) if part]
