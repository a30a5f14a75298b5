"""Kernels for pages that begin with the large packages imported: forks of one that imported them.

Importing PyTorch and drawing takes longer than most cells of a page, and each page has a kernel of
its own. Nothing but imports has happened in what they are forked from.
"""

import multiprocessing
import os
from uuid import uuid4

from jupyter_client import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner

# Read when Matplotlib is imported, which a kernel does later than it sets this.
os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["ipykernel.kernelapp", "matplotlib.pyplot", "torch"])


class Kernel(_FORKS.Process):
    """A kernel, with the methods of ``subprocess.Popen`` that a provisioner calls.

    Args:
        arguments: of the kernel, behind the name of its program.
        cwd: where it works.
        env: its environment.
    """

    stdin = stdout = stderr = None

    def __init__(self, arguments, cwd, env):
        super().__init__()
        self.arguments, self.cwd, self.env = arguments, cwd, env

    def run(self):
        from ipykernel.kernelapp import launch_new_instance

        os.chdir(self.cwd)
        os.environ |= self.env
        # A kernel ends with its parent, which here is not the client of the notebook.
        parent = f"--IPKernelApp.parent_handle={os.getppid()}"
        launch_new_instance(argv=[*self.arguments, parent])

    def poll(self):
        return self.exitcode

    def wait(self):
        self.join()
        return self.exitcode

    def send_signal(self, number):
        os.kill(self.pid, number)


class _Forks(LocalProvisioner):
    async def launch_kernel(self, cmd, **kwargs):
        # python -m ipykernel_launcher ARGUMENTS
        arguments = cmd[cmd.index("ipykernel_launcher") + 1 :]
        self.process = Kernel(arguments, kwargs["cwd"], kwargs["env"])
        self.process.start()
        self.pid, self.cwd = self.process.pid, kwargs["cwd"]
        return self.connection_info


class WarmKernels(AsyncKernelManager):
    """A manager of one kernel, as nbclient makes one for each notebook."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.kernel_id = str(uuid4())
        self.provisioner = _Forks(
            kernel_id=self.kernel_id, kernel_spec=self.kernel_spec, parent=self
        )
