"""What people do at the pages of the hub, and what they read there."""

import re

from conftest import ROOT
from playwright.sync_api import expect

SET, NAME = "ps1_forward", "forward"
# A step starts a server, a kernel or a sandbox, perhaps on a machine with other work.
WAIT_MS = 180_000
SCREENS = ROOT / "_build" / "hub" / "screens"
LOADED = "window.models?.loaded"
END = "That was all."


class Person:
    """Somebody with a browser of their own, logged in with their password.

    Args:
        browser: the browser of the test.
        hub: the Hub.
        name: the account.
    """

    def __init__(self, browser, hub, name):
        self.name, self.hub = name, hub
        self.server = f"{hub.url}/user/{name}"
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(WAIT_MS)
        # No page of the hub needs another server.
        context.route(lambda url: not url.startswith(hub.url), lambda route: route.abort())
        self.page = context.new_page()
        self.page.goto(f"{hub.url}/hub/login")
        self.page.fill("#username_input", name)
        self.page.fill("#password_input", hub.passwords[name])
        self.page.click("#login_submit")
        self.page.wait_for_url(f"{self.server}/lab**")

    def picture(self, name):
        """Keep how the page looks, for a human."""
        SCREENS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENS / f"{name}.png")

    def menu(self, menu, item):
        """Choose an item of a menu of JupyterLab."""
        self.page.get_by_role("menuitem", name=menu, exact=True).click()
        self.page.get_by_role("menuitem", name=item, exact=True).click()

    def read(self, address):
        """Go to an address and return what the page says."""
        self.page.goto(address)
        return self.page.locator("body").inner_text()


class Student(Person):
    """A student in JupyterLab."""

    def open_list(self):
        """Open nbgrader's list of assignments, and wait until it knows them."""
        self.menu("Nbgrader", "Assignment List")
        self.page.locator("#nbgrader-assignment-list").wait_for()

    def row(self, kind):
        """Return the row of the problem set: ``released``, ``fetched`` or ``submitted``."""
        return self.page.locator(f"#{kind}_assignments_list > .list_item").filter(has_text=SET)

    def fetch(self):
        self.row("released").get_by_role("button", name="Fetch", exact=True).click()
        self.row("fetched").wait_for()

    def open_notebook(self):
        self.row("fetched").locator(".assignment-notebooks-link").click()
        self.row("fetched").get_by_text(NAME, exact=True).click()
        # Before its kernel is there, JupyterLab asks which one to take.
        self.page.get_by_text("| Idle").wait_for()

    def cell(self, text):
        """Return the first code cell of the notebook that holds a text."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").filter(has_text=text).first

    def type(self, cell, source):
        """Put a source in place of what a cell holds, and run it."""
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(source)
        self.page.keyboard.press("Shift+Enter")

    def work(self, source, written):
        """Answer the first exercise and the last, run the check of the first; return its words."""
        self.run(self.cell("from bncourse.registry import require"))
        self.run(self.cell("from bncourse import"))
        self.type(self.cell("def batch_statistics"), source)
        check = self.cell("check(batch_statistics)")
        self.run(check)
        said = check.locator(".jp-OutputArea-output").first.inner_text()
        self.picture(f"check-{self.name}")
        stub = self.page.locator(".jp-MarkdownCell").filter(has_text="Write your answer here, in")
        stub.locator(".jp-RenderedMarkdown").dblclick()
        self.type(stub, written)
        self.page.keyboard.press("Control+S")
        self.page.locator(".jp-mod-dirty").wait_for(state="detached")
        return said

    def run(self, cell):
        """Run a cell, and wait until it is done."""
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Shift+Enter")
        expect(cell.locator(".jp-InputPrompt")).to_have_text(re.compile(r"\d"), timeout=WAIT_MS)

    def shell(self, source):
        """Run lines of a shell in a new notebook; return what they print."""
        self.page.goto(f"{self.server}/lab?reset")
        self.page.locator('.jp-LauncherCard[data-category="Notebook"]').first.click()
        self.page.get_by_text("| Idle").wait_for()
        cell = self.page.locator(".jp-CodeCell").first
        self.type(cell, f"%%sh\n{source}\necho {END}")
        output = cell.locator(".jp-OutputArea-output").first
        expect(output).to_contain_text(END, timeout=WAIT_MS)
        return output.inner_text().partition(END)[0]

    def submit(self):
        self.page.get_by_role("tab", name="Assignments").click()
        self.row("fetched").get_by_role("button", name="Submit", exact=True).click()
        self.row("submitted").wait_for()

    def feedback(self):
        """Fetch the feedback and return what its page says."""
        self.row("submitted").get_by_role("button", name="Fetch Feedback").click()
        self.page.get_by_text("(view feedback)").click()
        self.page.locator(".jp-DirListing-item").filter(has_text=f"{NAME}.html").dblclick()
        body = self.page.frame_locator(".jp-HTMLViewer iframe").locator("body")
        body.locator(".total").wait_for()
        return body.inner_text()


class Grader(Person):
    """A grader in nbgrader's formgrader."""

    def open(self, page):
        self.page.goto(f"{self.server}/formgrader/{page}")
        self.page.wait_for_function(LOADED)

    def press(self, page, row, button):
        """Press a button in a row of a table."""
        self.open(page)
        line = self.page.locator("#main-table tr").filter(has_text=re.compile(row))
        line.locator(f".{button} a").click()

    def said(self):
        """Return the text of the dialog that opens when what was asked for is done."""
        dialog = self.page.locator("#success-modal, #error-modal")
        dialog.wait_for()
        return dialog.inner_text()

    def on_set(self, button):
        """Press a button of the problem set; return what comes of it."""
        self.press("manage_assignments", SET, button)
        return self.said()

    def autograde(self, student):
        """Ask for the grade of a student, and do not wait for it."""
        self.press(f"manage_submissions/{SET}", student, "autograde")

    def submissions(self):
        """Return the table of hand-ins: ``{student: (status, score)}``."""
        self.open(f"manage_submissions/{SET}")
        lines = self.page.locator("#main-table tr").filter(has=self.page.locator(".student-id"))
        return {
            line.locator(".student-id").inner_text(): tuple(
                line.locator(each).inner_text() for each in (".status", ".score")
            )
            for line in lines.all()
        }

    def add_student(self, student, first, last):
        """Put somebody on the list of the class."""
        self.open("manage_students")
        self.page.get_by_text("Add new student...").click()
        dialog = self.page.locator("#add-student-modal")
        for box, text in ((".id", student), (".first-name", first), (".last-name", last)):
            dialog.locator(box).fill(text)
        with self.page.expect_response("**/api/student/*") as response:
            dialog.get_by_role("button", name="Save").click()
        assert response.value.ok

    def grade_by_hand(self, name, cell, points, comment):
        """Give points and a comment to the written answer of somebody, by the name on the list."""
        self.open(f"gradebook/{SET}/{NAME}")
        self.page.get_by_role("button", name="Show All Names").click()
        self.page.get_by_role("link", name=name).click()
        self.page.wait_for_function(
            "window.formgrader?.grades?.loaded && formgrader.comments?.loaded"
        )
        for box, text, saved in (
            (f"#{cell}", points, "**/api/grade/*"),
            (f"#{cell}-comment", comment, "**/api/comment/*"),
        ):
            with self.page.expect_response(saved) as response:
                self.page.locator(box).fill(text)
                self.page.locator(box).press("Tab")
            assert response.value.ok
