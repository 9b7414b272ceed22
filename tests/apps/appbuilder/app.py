"""Contacts: a small Flask-AppBuilder app as its own guide makes one. It has been written for nobody's gateway. PORT says
where it listens, DATABASE where it keeps everything; `nora` and `otto` may do all."""

import os

from flask import Flask
from flask_appbuilder import AppBuilder
from flask_appbuilder import Model
from flask_appbuilder import ModelView
from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_appbuilder.utils.legacy import get_sqla_class
from sqlalchemy import Column
from sqlalchemy import Integer
from sqlalchemy import String

app = Flask(__name__)
app.config.update(
    SECRET_KEY="contacts-of-the-test-bench",
    SQLALCHEMY_DATABASE_URI=f"sqlite:///{os.environ['DATABASE']}",
    WTF_CSRF_ENABLED=True,
    FAB_API_SWAGGER_UI=False,
    RATELIMIT_ENABLED=False,
)
db = get_sqla_class()()


class Contact(Model):
    __tablename__ = "contact"

    id = Column(Integer, primary_key=True)
    name = Column(String(150), unique=True, nullable=False)

    def __repr__(self):
        return self.name


class ContactView(ModelView):
    datamodel = SQLAInterface(Contact)
    list_columns = ["name"]


with app.app_context():
    db.init_app(app)
    builder = AppBuilder(app, db.session)
    builder.add_view(ContactView, "Contacts", category="Contacts")
    db.create_all()
    for name in ("nora", "otto"):
        if not builder.sm.find_user(name):
            admin = builder.sm.find_role("Admin")
            builder.sm.add_user(name, name.title(), "Tester", f"{name}@example.com", admin, f"{name}-keeps-notes")

if __name__ == "__main__":
    app.run("127.0.0.1", int(os.environ["PORT"]))
