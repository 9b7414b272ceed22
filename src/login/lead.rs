//! The way to the app's own login page, for sites where people log in there.
//!
//! Whatever names a login names ours: a page that was asked for, a script's 401, a page of our own. From here it leads on.

use http::Method;
use http::StatusCode;

use crate::access::csrf;
use crate::access::path::CanonicalPath;
use crate::login::Login;
use crate::login::PREFIX;
use crate::login::conversation::Answer;
use crate::login::conversation::Leftovers;
use crate::login::conversation::Visit;
use crate::login::form::Form;
use crate::pages::see_other;
use crate::route::AppLogin;
use crate::session::Presence;

impl Login {
    /// To the app's login page, with the way back if the page is told one. Whoever is logged in and need not be asked again
    /// is sent on. Where they must be, what the app left in the browser goes: it would not ask whom it knows.
    pub(crate) fn lead_to_app(&self, visit: &Visit, app: &AppLogin) -> Answer {
        if visit.method == Method::POST {
            return self.fail(visit, StatusCode::NOT_FOUND, None);
        }
        let query = visit.query.as_deref().and_then(|query| Form::parse(query.as_bytes()));
        let sealed = query.as_ref().and_then(|query| query.get("return_to")).unwrap_or_default();
        let Some(destination) = self.targets.open(sealed, visit.host(), visit.now) else {
            let is_in = matches!(visit.presence, Presence::Active(_));
            return Answer::new(see_other(&if is_in { "/".to_owned() } else { app.entrance("/") }));
        };
        let target = destination.way.target.as_str();
        // Back to the login after the login would look like a failure.
        let target = if leads_to_login(app, target) { "/" } else { target };
        let leftovers = match &visit.presence {
            Presence::Active(session) if !self.must_confirm(visit, session, &destination) => {
                return Answer::new(see_other(target));
            }
            // It costs what the app knows the person by: no link of another site may do that.
            Presence::Active(_) if !csrf::is_own(&visit.headers) => {
                let here = format!("{PREFIX}login?return_to={sealed}");
                return Answer::new(self.pages.again(visit.host().as_str(), &here));
            }
            Presence::Active(_) => Leftovers::Anothers,
            Presence::Anonymous | Presence::Ended(_) => Leftovers::Theirs,
        };
        Answer::new(see_other(&app.entrance(target))).leftovers(leftovers)
    }
}

fn leads_to_login(app: &AppLogin, target: &str) -> bool {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    CanonicalPath::parse(path).is_ok_and(|path| app.is_own_path(&path))
}
