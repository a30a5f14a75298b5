"""A hub for one course: accounts of this machine, and a group for each kind of person."""

import grp
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
COURSE = "/srv/batch-norm"
GROUPS = ("graders", "students")

c = get_config()  # noqa: F821 - JupyterHub provides it

# This machine only. Before others reach it, put a web server with TLS in front.
c.JupyterHub.bind_url = f"http://127.0.0.1:{os.environ.get('HUB_PORT', 8000)}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{os.environ.get('HUB_API_PORT', 8081)}"
# An hour: the formgrader answers when a hand-in is graded, and the page that waits for a server
# when that has started. By itself the proxy gives up after 20 seconds.
c.ConfigurableHTTPProxy.command = ["configurable-http-proxy", "--proxy-timeout", "3600000"]
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{os.environ.get('HUB_PROXY_PORT', 8001)}"

# The passwords are the machine's own, and who may log in is who is in one of its groups. Nobody
# administers the hub from a browser.
c.JupyterHub.authenticator_class = "pam"
c.PAMAuthenticator.service = "jupyterhub"
c.LocalAuthenticator.allowed_groups = set(GROUPS)
c.JupyterHub.load_groups = {name: {"users": grp.getgrnam(name).gr_mem} for name in GROUPS}

# A server runs as the account of who logged in, and shows that home.
c.JupyterHub.spawner_class = "localprocess"
c.Spawner.default_url = "/lab"
# A class logs in within a minute: the last server to start waits for all the others.
c.Spawner.start_timeout = c.Spawner.http_timeout = 120
c.Spawner.environment = {
    "JUPYTER_CONFIG_PATH": f"{HERE / 'everyone'}",
    "KERAS_BACKEND": "torch",
    "OMP_NUM_THREADS": "1",
}


def server(folder, umask):
    """Return the command that starts a server in a folder, with a mask for what it writes."""
    # nbgrader reads the settings of a course where it is started, and the formgrader shows only a
    # course that lies below the folder that the server shows.
    script = f'cd {folder} && umask {umask} && exec "$@"'
    return ["sh", "-c", script, "sh", f"{sys.prefix}/bin/jupyterhub-singleuser"]


c.Spawner.group_overrides = {
    "graders": {
        "groups": ["graders"],
        "spawner_override": {"cmd": server(COURSE, "007"), "notebook_dir": COURSE},
    },
    "students": {
        "groups": ["students"],
        "spawner_override": {
            "cmd": server("~", "077"),
            "environment": {"JUPYTER_CONFIG_PATH": f"{HERE / 'students'}:{HERE / 'everyone'}"},
        },
    },
}
