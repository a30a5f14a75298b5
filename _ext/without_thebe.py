"""Leave Thebe out of the pages: Jupyter Book 1 adds it twice, and the second copy fails."""


def drop_thebe(app, pagename, templatename, context, doctree):
    """Remove Thebe's scripts from a page, which has no button that would start them."""
    context["script_files"] = [
        script
        for script in context.get("script_files", [])
        if "thebe" not in str(getattr(script, "filename", script)).lower()
        and "THEBE" not in getattr(script, "attributes", {}).get("body", "")
    ]


def setup(app):
    # After sphinx-thebe, which adds its scripts at the default priority of 500.
    app.connect("html-page-context", drop_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
