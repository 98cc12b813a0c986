"""Opens models behind an API that speaks OpenAI's protocol: OpenAI itself, vLLM, llama.cpp, gateways, presets."""

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.base import OpenSettings, Traits
from pytest_llmbench.models.entries import OpenAIEntry
from pytest_llmbench.models.openai.endpoint import endpoint_of
from pytest_llmbench.models.openai.model import OpenAIModel
from pytest_llmbench.models.openai.request_body import check_body, style_of
from pytest_llmbench.models.openai.server import Server, addressed, check_serve
from pytest_llmbench.values import PromptStyle

if TYPE_CHECKING:
    from pytest_llmbench.models.training_manifest import TrainingManifest


class OpenAIProvider:
    """Opens models behind an API."""

    entry_type = OpenAIEntry
    target_field = "model"

    def traits(self, entry: OpenAIEntry) -> Traits:
        """Give the traits of a model behind an API; one whose server is started here is local, and free."""
        is_served_here = entry.serve is not None
        return Traits(is_api=True, is_local=is_served_here, is_free=is_served_here, takes_tools=entry.api == "chat")

    def batch_entry(self, entry: OpenAIEntry) -> OpenAIEntry:
        """Give the entry itself, if it is sound. The key is not looked for.

        Raises:
            UsageFault: the entry contradicts itself.
        """
        style = style_of(entry)
        if entry.prompt_style not in ("auto", style):
            raise UsageFault(
                f'prompt_style is "{entry.prompt_style}", but the api is "{entry.api}", which takes {style} prompts; '
                "change one of them."
            )
        check_body(entry)
        return entry

    def prompt_style(self, entry: OpenAIEntry) -> PromptStyle:
        """Tell the style its API takes; look for the key without using it.

        Raises:
            UsageFault: the entry contradicts itself, or a variable is not set.
        """
        style = style_of(entry)
        if entry.prompt_style not in ("auto", style):
            other = "completions" if style is PromptStyle.CHAT else "chat"
            raise UsageFault(
                f'Model "{entry.model}" has prompt_style = "{entry.prompt_style}", but its api is "{entry.api}", '
                f'which takes {style} prompts: set api = "{other}", or leave prompt_style out.'
            )
        check_body(entry)
        check_serve(entry)
        endpoint_of(addressed(entry, port=1))
        self.training(entry)
        return style

    def training(self, entry: OpenAIEntry) -> "TrainingManifest | None":
        """Give what is known of the training of the model that the server has.

        Raises:
            UsageFault: the manifest cannot be read.
        """
        if entry.training is None:
            return None
        from pytest_llmbench.models.training_manifest import read_manifest  # takes time, and few entries need it

        return read_manifest(Path(entry.training))

    def open(self, entry: OpenAIEntry, settings: OpenSettings) -> "OpenAIModel":
        """Make the client, and start the server where the entry says how; nothing is asked yet.

        Raises:
            ModelFault: the server does not start, or the manifest belongs to other weights.
        """
        self.prompt_style(entry)
        known = self.training(entry)
        if known is not None:
            known.check_weights_beside(settings.cache_dir)
        training = None if known is None else known.training
        if entry.serve is None:
            return OpenAIModel(entry, settings, training=training)
        server = Server(entry)
        try:
            return OpenAIModel(server.entry, settings, server=server, training=training)
        except BaseException:
            server.close()
            raise


PROVIDER = OpenAIProvider()
