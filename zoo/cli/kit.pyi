"""The public names of `zoo.cli.kit`, for type checkers and `zoo._lazy`, which imports names on first use."""

from zoo.cli import run as run
from zoo.cli.flags import flag_of as flag_of
from zoo.cli.flags import options_of as options_of
from zoo.cli.name_types import NameType as NameType
from zoo.cli.name_types import PathType as PathType
from zoo.cli.name_types import weights_argument as weights_argument
from zoo.cli.session import Session as Session
from zoo.cli.session import device_option as device_option
from zoo.cli.session import last_option as last_option
from zoo.cli.session import print_json as print_json
from zoo.cli.session import standard_options as standard_options
from zoo.cli.training_command import training_command as training_command
from zoo.console.figures import cell as cell
from zoo.console.figures import figures as figures
from zoo.console.progress import duration as duration
from zoo.console.tables import columns as columns
from zoo.console.tables import print_paragraph as print_paragraph
from zoo.console.tables import print_section as print_section
from zoo.console.tables import print_table as print_table
from zoo.console.tables import print_title as print_title
from zoo.console.terminal import bold as bold
from zoo.console.terminal import dim as dim
from zoo.console.terminal import echo as echo

__all__: list[str]
