// A click on what earns a point puts its line into the comment, or takes it out; the points are
// those of the lines that stand there. So what was clicked is kept where nbgrader keeps a comment,
// and the student reads it.
(function () {
    "use strict";

    function line(button) {
        return "- +" + button.dataset.points + " for " + button.dataset.text;
    }

    function lines(comment) {
        return comment.value === "" ? [] : comment.value.split("\n");
    }

    function parts(rubric) {
        return {
            buttons: Array.from(rubric.querySelectorAll("button")),
            score: document.getElementById(rubric.dataset.answer),
            comment: document.getElementById(rubric.dataset.answer + "-comment")
        };
    }

    function show(rubric) {
        var part = parts(rubric), there = lines(part.comment);
        part.buttons.forEach(function (each) {
            each.setAttribute("aria-pressed", String(there.includes(line(each))));
        });
    }

    function click(rubric, button) {
        var part = parts(rubric), there = lines(part.comment), place = there.indexOf(line(button));
        if (place < 0) {
            there.push(line(button));
        } else {
            there.splice(place, 1);
        }
        var points = part.buttons.reduce(function (sum, each) {
            return sum + (there.includes(line(each)) ? Number(each.dataset.points) : 0);
        }, 0);
        // nbgrader saves a box when it changes.
        $(part.comment).val(there.join("\n")).trigger("change");
        $(part.score).val(String(points)).trigger("change");
        show(rubric);
    }

    $(".rubric").each(function () {
        var rubric = this;
        $(rubric).prev(".cell").find(".panel-footer").prepend(rubric);
        $(rubric).on("click", "button", function () {
            click(rubric, this);
        });
        $(parts(rubric).comment).on("input change", function () {
            show(rubric);
        });
        // The comments of before come by such a request.
        $(document).ajaxComplete(function () {
            show(rubric);
        });
    });
}());
