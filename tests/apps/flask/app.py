"""A small notes app as found in the wild: Flask, Flask-Login, a signed cookie session, its own login form.

It has been written for nobody's gateway. It runs with Flask's development server (`python app.py`) and under gunicorn
(`gunicorn app:app`); PORT says where the development server listens.
"""

import os
import secrets
import tempfile
import time
from pathlib import Path

from cachelib import FileSystemCache
from flask import Flask
from flask import Response
from flask import flash
from flask import jsonify
from flask import make_response
from flask import redirect
from flask import render_template_string
from flask import request
from flask import send_file
from flask import session
from flask import url_for
from flask_login import LoginManager
from flask_login import UserMixin
from flask_login import current_user
from flask_login import login_required
from flask_login import login_user
from flask_login import logout_user
from flask_session import Session

app = Flask(__name__)
app.secret_key = os.environ.get("SECRET_KEY", "notes-app-of-the-test-bench")

# Where sessions live: `signed` in the cookie, `permanent` there and signed anew with every answer, or on the `server`.
SESSIONS = os.environ.get("SESSIONS", "signed")
if SESSIONS == "server":
    app.config["SESSION_TYPE"] = "cachelib"
    app.config["SESSION_CACHELIB"] = FileSystemCache(tempfile.mkdtemp(prefix="notes-sessions-"))
    Session(app)

FILES = Path(os.environ.get("FILES") or tempfile.mkdtemp(prefix="notes-"))
ACCOUNTS = {"nora": "nora-keeps-notes", "otto": "otto-keeps-notes"}
NOTES = []

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Notes</title></head>
<body>
<h1>Notes</h1>
{% for message in get_flashed_messages() %}<p class="flash">{{ message }}</p>{% endfor %}
{% block body %}{{ body|safe }}{% endblock %}
</body>
</html>"""

LOGIN_FORM = """<form method="post" action="/login">
<label>Name <input name="name" autocomplete="username"></label>
<label>Password <input name="secret" type="password" autocomplete="current-password"></label>
<button>Log in</button></form>"""

NOTE_FORM = """<p>Signed in as <b id="who">{{ name }}</b></p>
<ul>{% for note in notes %}<li>{{ note }}</li>{% endfor %}</ul>
<form method="post" action="/notes"><label>Note <input name="text"></label><button>Add</button></form>
<form method="post" action="/logout"><button>Log out</button></form>"""

GUEST_FORM = """<ul>{% for note in notes %}<li>{{ note }}</li>{% endfor %}</ul>
<form method="post" action="/guestbook"><input type="hidden" name="token" value="{{ token }}">
<label>Note <textarea name="text"></textarea></label><button>Add</button></form>"""

login_manager = LoginManager(app)
login_manager.login_view = "login"


class Account(UserMixin):
    """Somebody with an account of this app's own."""

    def __init__(self, name):
        self.id = name


@login_manager.user_loader
def load_account(name):
    return Account(name) if name in ACCOUNTS else None


def page(body, **values):
    return render_template_string(PAGE, body=render_template_string(body, **values))


@app.before_request
def stay():
    if SESSIONS == "permanent":
        session.permanent = True


@app.get("/")
def home():
    return page('<p id="home">Welcome.</p><p><a href="/notes">Notes</a></p>')


@app.route("/login", methods=["GET", "POST"])
def login():
    if request.method == "GET":
        return page(LOGIN_FORM)
    name = request.form.get("name", "")
    if ACCOUNTS.get(name) is None or ACCOUNTS[name] != request.form.get("secret"):
        flash("That name and password do not fit.")
        return redirect(url_for("login"))
    login_user(Account(name))
    flash(f"Hello, {name}.")
    return redirect(url_for("notes"))


@app.post("/logout")
@login_required
def logout():
    logout_user()
    session.clear()
    return redirect("/")


@app.route("/notes", methods=["GET", "POST"])
@login_required
def notes():
    if request.method == "GET":
        return page(NOTE_FORM, name=current_user.id, notes=NOTES)
    NOTES.append(request.form.get("text", ""))
    flash("Noted.")
    return redirect(url_for("notes"))


@app.route("/guestbook", methods=["GET", "POST"])
def guestbook():
    """A form with a token in the session, as careful apps have."""
    if request.method == "GET":
        session.setdefault("token", secrets.token_hex(8))
        return page(GUEST_FORM, token=session["token"], notes=NOTES)
    if request.form.get("token") != session.get("token"):
        return page('<p id="no">The token does not fit.</p>'), 400
    NOTES.append(request.form.get("text", ""))
    return redirect(url_for("guestbook"))


@app.route("/echo", defaults={"rest": ""}, methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@app.route("/echo/<path:rest>", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def echo(rest):
    """The request as this framework understood it."""
    return jsonify(
        method=request.method,
        path=request.path,
        rest=rest,
        raw_uri=request.environ.get("RAW_URI") or request.environ.get("REQUEST_URI"),
        query=request.query_string.decode("latin-1"),
        url=request.url,
        headers=[[name, value] for name, value in request.headers.items()],
        environ={key: str(value) for key, value in request.environ.items() if key.startswith("HTTP_")},
        cookies=dict(request.cookies),
        length=len(request.get_data(cache=False)),
    )


@app.put("/files/<name>")
def upload(name):
    """Keeps a file of any size; the body is read as it comes."""
    size = 0
    with open(FILES / Path(name).name, "wb") as kept:
        while chunk := request.stream.read(64 * 1024):
            size += kept.write(chunk)
    return jsonify(size=size), 201


@app.post("/upload")
def upload_form():
    sent = request.files["file"]
    sent.save(FILES / Path(sent.filename).name)
    flash(f"Kept {sent.filename}.")
    return redirect("/")


@app.get("/files/<name>")
def download(name):
    """Answers ranges, validators and conditional requests."""
    return send_file(FILES / Path(name).name, conditional=True, etag=True)


@app.get("/big/<int:megabytes>")
def big(megabytes):
    block = b"v" * 65536
    body = (block for _ in range(megabytes * 16))
    return Response(body, mimetype="application/octet-stream", headers={"Content-Length": megabytes << 20})


@app.get("/stream")
def stream():
    """Lines that come one at a time, a moment apart."""
    count = int(request.args.get("count", "5"))
    pause = float(request.args.get("pause", "0.2"))

    def lines():
        for number in range(count):
            yield f"line {number}\n"
            time.sleep(pause)

    return Response(lines(), mimetype="text/plain")


@app.get("/slow")
def slow():
    time.sleep(float(request.args.get("seconds", "1")))
    return page('<p id="slow">At last.</p>')


@app.get("/cookies")
def odd_cookies():
    """Cookies as real apps set them: careless, odd, and several."""
    answer = make_response(page("<p>Baked.</p>"))
    for line in (
        "PHPSESSID=abc123; path=/",
        "csrftoken=tok==; Path=/; SameSite=Strict",
        "theme=dark; Max-Age=999999999; Path=/; secure",
        'json="{\\"a\\":1}"; Expires=Wed, 21 Oct 2037 07:28:00 GMT; Path=/cookies',
        "embed=1; Path=/; SameSite=None; Secure",
        "wide=1; Domain=localhost; Path=/",
    ):
        answer.headers.add("Set-Cookie", line)
    return answer


@app.get("/hostile-cookies")
def hostile_cookies():
    """An app that was taken over reaches for cookies that are not its own."""
    answer = make_response(page("<p>Tried.</p>"))
    for name in ("__Host-Http-session", "__host-http-session", "__Host-Http-pre"):
        answer.headers.add("Set-Cookie", f"{name}=planted-by-the-app; Path=/; Secure; HttpOnly")
    answer.headers.add("Set-Cookie", "mine=1; Path=/")
    answer.headers["Clear-Site-Data"] = '"cookies"'
    return answer


@app.get("/absolute-redirect")
def absolute_redirect():
    """Believes itself on plain HTTP and says so."""
    return Response(status=302, headers={"Location": f"http://{request.host}/echo?from=absolute"})


@app.get("/static-like/<name>")
def static_like(name):
    """A style sheet that anybody may cache."""
    answer = Response(f"/* {name} */", mimetype="text/css")
    answer.headers["Cache-Control"] = "public, max-age=600"
    return answer


@app.get("/status/<int:code>")
def status(code):
    return page(f"<p>Status {code}.</p>"), code


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(os.environ.get("PORT", "5000")), threaded=True)
