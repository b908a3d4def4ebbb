"""The logger plugin: Snakemake's events, sorted into what a reader of the console wants to know and the rest.

All of Snakemake's own words go to its log file, whose path is the last line.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from gipo.console import lines
from gipo.console.display import Display
from gipo.console.session import Session

CHATTER = (
    *("Building DAG of jobs", "Assuming unrestricted shared", "Using shell", "Group jobs: inactive"),
    *("Conda environments: ignored", "Singularity containers: ignored", "Select jobs to execute", "Elapsed time"),
    *("Job ", "Removing output files of failed job", "Processed ", "Activating singularity image"),
)
"""How the messages begin that only the log file has."""
SAID = ("Exiting because a job execution failed", "WorkflowError:\nAt least one job did not complete successfully")
"""How the errors begin that only repeat that a job failed."""
COMMAND = re.compile(r"RuleException:\nCalledProcessError in file .*' (returned non-zero .*|died with .*)", re.DOTALL)
"""The error that comes with every failed command, which is shown with its job."""
LOG = "Complete log(s): "
"""How the message begins that says where that file is."""


class LogHandler(LogHandlerBase):
    """Shows a session where Snakemake runs jobs and its user did not ask for words of Snakemake's own.

    A dry-run, and options like ``--quiet`` or ``--verbose``, are Snakemake's own matter.
    """

    def __post_init__(self) -> None:
        """Decide who writes to the console."""
        asked = self.common_settings
        self.active = not (asked.dryrun or asked.quiet or asked.verbose or asked.debug_dag or asked.printshellcmds)
        self.home = Path.cwd()
        self.session = Session()
        self.display = Display(self.session, colour=not asked.nocolor)
        self.began = False
        self.target: str | None = None
        """First input of the target rule: the report."""
        self.log: str | None = None

    @property
    def writes_to_stream(self) -> bool:
        """Otherwise Snakemake's own handler writes."""
        return self.active

    @property
    def writes_to_file(self) -> bool:
        """The log file is Snakemake's own."""
        return False

    @property
    def has_filter(self) -> bool:
        """No filter of Snakemake's."""
        return True

    @property
    def has_formatter(self) -> bool:
        """No formatter of Snakemake's."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """No."""
        return False

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record of Snakemake's."""
        if not self.active:
            return
        try:
            with self.display.lock:
                self._take(record)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Say what became of it, and give the terminal back."""
        if self.began:
            self.began = False
            self.display.stop()
            for line in lines.ending(self.session, self._from_home(self.target), self._from_home(self.log)):
                self.display.say(line, "bold")
        super().close()

    def _take(self, record: Any) -> None:
        self.session.study = getattr(record, "gipo_runs", self.session.study)
        match getattr(record, "event", None):
            case LogEvent.RUN_INFO:
                self._begin(record.stats)
            case LogEvent.JOB_INFO:
                self._started(record)
            case LogEvent.JOB_FINISHED:
                self._finished(record.job_id)
            case LogEvent.JOB_ERROR:
                self._failed(record)
            case LogEvent.GROUP_ERROR:
                for line in lines.failure(f"a job of group {record.groupid}", list(record.aux_logs), {}):
                    self.display.say(line, "red")
            case LogEvent.ERROR | None:
                self._message(record)

    def _begin(self, counts: dict[str, int]) -> None:
        self.session.begin(counts)
        self.display.say(lines.opening(self.session))
        self.began = True
        self.display.start()

    def _started(self, record: Any) -> None:
        if not record.output and record.input:
            self.target = record.input[0]
        self.session.started(record.jobid, record.rule_name, record.output)

    def _finished(self, number: int) -> None:
        job = self.session.finished(number)
        if job and job.run:
            self.display.finished(job)

    def _failed(self, record: Any) -> None:
        job = self.session.broke(record.jobid)
        name = job.name if job else record.rule_name
        if record.indent:  # one of a group, of which Snakemake does not know which one failed
            failure = lines.failure(name, list(record.log), {}, tail=1)
        else:
            details = {"message": record.rule_msg or ""} | {name: str(value) for name, value in record.aux.items()}
            details["command"] = " ".join((record.shellcmd or "").split())
            failure = lines.failure(name, list(record.log), details)
        for line in failure:
            self.display.say(line, "red")

    def _message(self, record: logging.LogRecord) -> None:
        message = record.getMessage().strip() if record.msg else ""
        if message.startswith(LOG):
            self.log = message.removeprefix(LOG)
        elif command := COMMAND.match(message):
            self.display.say(f"a command {command[1]}", "red")
        elif record.levelno >= logging.WARNING and not message.startswith(SAID):
            self.display.say(message, "red" if record.levelno >= logging.ERROR else "yellow")
        elif message and record.levelno == logging.INFO and not message.startswith(CHATTER):
            self.display.say(message)

    def _from_home(self, path: str | None) -> str | None:
        """A path of the working directory as one of where the command was typed."""
        if path is None:
            return None
        whole = Path(path).resolve()
        return str(whole.relative_to(self.home) if whole.is_relative_to(self.home) else whole)
