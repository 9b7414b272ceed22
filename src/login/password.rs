//! Changing one's own password: by choice, with the current one; or because it must be, right after a login with it.

use std::sync::Arc;

use http::StatusCode;

use crate::identity::user::UserName;
use crate::login::Login;
use crate::login::conversation::Answer;
use crate::login::conversation::Outcome;
use crate::login::conversation::Source;
use crate::login::conversation::Visit;
use crate::login::cookies::Pre;
use crate::login::directory::ReplaceError;
use crate::login::directory::Replacement;
use crate::login::form::Form;
use crate::login::form::Purpose;
use crate::login::form::Shown;
use crate::login::form::Standing;
use crate::login::hash::Hash;
use crate::login::policy::MIN_CHARS;
use crate::login::policy::PolicyProblem;
use crate::login::policy::new_password;
use crate::login::prove::Failure;
use crate::login::prove::NoSession;
use crate::login::prove::Proven;
use crate::login::ticket::Ticket;
use crate::login::users::Account;
use crate::login::way::Way;
use crate::pages::PasswordView;
use crate::session::Presence;
use crate::session::Session;
use crate::session::lifetime::Why;
use crate::telemetry::audit::Event;

/// Who changes a password, and by what right.
#[derive(Clone, Copy)]
enum Holder<'a> {
    /// Somebody with a session.
    Session(&'a Arc<Session>),
    /// Somebody whose password was right a moment ago, and must be changed.
    Ticket { pre: &'a Pre, ticket: &'a Ticket },
}

impl Holder<'_> {
    fn name(&self) -> &UserName {
        match self {
            Self::Session(session) => &session.user().name,
            Self::Ticket { ticket, .. } => &ticket.name,
        }
    }

    fn key(&self) -> String {
        match self {
            Self::Session(session) => session.reference().to_string(),
            Self::Ticket { pre, .. } => pre.value().to_owned(),
        }
    }
}

/// What a new password means for the sessions that began with the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Others {
    /// They end.
    End,
    /// Their owner wants them to go on.
    GoOn,
}

/// Why a new password was not stored.
enum Unchanged {
    Policy(PolicyProblem),
    Busy,
    /// The account was changed or disabled by somebody else.
    Overtaken,
    Failed(String),
}

impl Login {
    /// The page to change one's password; whoever is not signed in signs in first.
    pub(crate) fn show_password(&self, visit: &Visit) -> Answer {
        match &visit.presence {
            Presence::Active(session) => {
                self.form(visit, Holder::Session(session), StatusCode::OK, Err(None))
            }
            Presence::Anonymous => self.to_login(visit, None),
            Presence::Ended(why) => self.to_login(visit, Some(*why)),
        }
    }

    /// Shown in place of a session to somebody whose right password must be changed first (one-time passwords).
    pub(crate) fn must_change(&self, visit: &Visit, pre: &Pre, account: &Account, way: &Way) -> Answer {
        let name = account.user.name.clone();
        let ticket = &Ticket::new(name, &account.password, way.clone(), visit.now);
        let holder = Holder::Ticket { pre, ticket };
        self.form(visit, holder, StatusCode::OK, Ok(CHOOSE)).by(account.user.name.clone())
    }

    /// An attempt to change the password.
    pub(crate) async fn change_password(&self, visit: &Visit) -> Answer {
        let form = match self.posted(visit) {
            Ok(form) => form,
            Err(refusal) => return *refusal,
        };
        if let Some(sealed) = form.get("ticket") {
            let pre = Pre::of(&visit.headers);
            let opened = self.tickets.open(sealed, pre.value(), visit.host(), visit.now);
            return match opened {
                Some(ticket) => self.change_by_ticket(visit, &form, &pre, &ticket).await,
                None => self.sign_in_again(visit, TICKET_OVER),
            };
        }
        match &visit.presence {
            Presence::Active(session) => self.change_by_session(visit, &form, session).await,
            Presence::Anonymous => self.to_login(visit, None),
            Presence::Ended(why) => self.to_login(visit, Some(*why)),
        }
    }

    async fn change_by_ticket(&self, visit: &Visit, form: &Form, pre: &Pre, ticket: &Ticket) -> Answer {
        let holder = Holder::Ticket { pre, ticket };
        if let Some(refusal) = self.check_token(visit, form, holder) {
            return refusal;
        }
        let account = self
            .directory
            .account(&ticket.name)
            .filter(|account| !account.disabled && ticket.fits(&account.password));
        let Some(account) = account else {
            return self.sign_in_again(visit, TICKET_OVER);
        };
        let changed = match self.store(visit, form, account, Others::End).await {
            Ok(changed) => changed,
            Err(unchanged) => return self.not_stored(visit, holder, unchanged),
        };
        let proven = Proven { account: changed, failures: 0 };
        match self.enter(visit, &proven, &ticket.way).await {
            Ok(answer) => answer,
            Err(NoSession::AccountChanged | NoSession::TooMany | NoSession::Unavailable) => {
                self.sign_in_again(visit, CHANGED_SIGN_IN)
            }
        }
    }

    async fn change_by_session(&self, visit: &Visit, form: &Form, session: &Arc<Session>) -> Answer {
        let holder = Holder::Session(session);
        if let Some(refusal) = self.check_token(visit, form, holder) {
            return refusal;
        }
        let name = session.user().name.as_str();
        let current = form.get("current").unwrap_or_default();
        let proven = match self.prove(visit, name, current).await {
            Ok(proven) => proven,
            Err(failure) => return self.current_wrong(visit, holder, failure),
        };
        let end_others = form.get("others") == Some("end");
        let others = if end_others { Others::End } else { Others::GoOn };
        let account = match self.store(visit, form, proven.account, others).await {
            Ok(changed) => changed,
            Err(unchanged) => return self.not_stored(visit, holder, unchanged),
        };
        self.begin_anew(visit, &account, end_others).await
    }

    /// A new id for this session, and the end of the user's others if that was asked for.
    async fn begin_anew(&self, visit: &Visit, account: &Account, end_others: bool) -> Answer {
        let name = &account.user.name;
        if end_others && let Err(error) = self.sessions.end_user(name, Why::UserRemoved).await {
            self.store_failed(visit, &error.into());
            return self.fail(visit, StatusCode::SERVICE_UNAVAILABLE, Some(OTHERS_LIVE));
        }
        match self.begin(visit, account).await {
            Ok((token, _)) => {
                let text = if end_others {
                    "Your new password is stored. You are signed in here, and nowhere else."
                } else {
                    "Your new password is stored. Your other sessions go on."
                };
                let page = Answer::new(self.pages.changed(visit.host().as_str(), text));
                self.admit(visit, name, token, page).outcome(Outcome::Success)
            }
            Err(NoSession::AccountChanged | NoSession::TooMany | NoSession::Unavailable) => {
                self.sign_in_again(visit, CHANGED_SIGN_IN)
            }
        }
    }

    /// Checks the new password of the form and stores it; the account as it is then.
    async fn store(
        &self,
        visit: &Visit,
        form: &Form,
        account: Account,
        others: Others,
    ) -> Result<Account, Unchanged> {
        let typed = crate::crypto::Secret::new(form.get("new").unwrap_or_default().to_owned());
        let context = [account.user.name.to_string(), visit.host().to_string(), "vestibule".to_owned()];
        let old = account.password.clone();
        let judged = self
            .pool
            .run(move || {
                let context: Vec<&str> = context.iter().map(String::as_str).collect();
                let password = new_password(typed.expose(), &context)?;
                if old.verify(&password) {
                    return Err(PolicyProblem::Unchanged);
                }
                Ok(match others {
                    Others::End => Hash::make(&password),
                    Others::GoOn => old.succeeded_by(&password),
                })
            })
            .await;
        let new = judged.map_err(|_busy| Unchanged::Busy)?.map_err(Unchanged::Policy)?;
        let replacement = Replacement {
            name: account.user.name.clone(),
            old: account.password.clone(),
            new: new.clone(),
            chosen: true,
        };
        match self.directory.replace(&self.pool, replacement).await {
            Ok(change) => {
                self.apply(&change).await;
                self.throttle().reset(account.user.name.as_str());
                let name = Some(account.user.name.as_str());
                self.tell_of(visit, name, None, &Event::PasswordChange);
                Ok(Account { must_change: false, ..account.with_password(new) })
            }
            Err(ReplaceError::Busy(_)) => Err(Unchanged::Busy),
            Err(ReplaceError::Changed(change)) => {
                self.apply(&change).await;
                Err(Unchanged::Overtaken)
            }
            Err(ReplaceError::File(error)) => Err(Unchanged::Failed(error.to_string())),
        }
    }

    /// The form again, if its token is not good.
    fn check_token(&self, visit: &Visit, form: &Form, holder: Holder<'_>) -> Option<Answer> {
        let token = form.get("form_token").unwrap_or_default();
        match self.tokens.check(token, &shown(visit, &holder), visit.now) {
            Standing::Good => None,
            Standing::Old => Some(self.form(visit, holder, StatusCode::OK, Ok(TOO_OLD))),
            Standing::Foreign => {
                if visit.source() != Source::Own {
                    let reason = "no_token";
                    self.tell(visit, &Event::MaliciousCsrf { reason, enforced: true });
                }
                Some(self.form(visit, holder, StatusCode::FORBIDDEN, Ok(NO_TOKEN)))
            }
        }
    }

    fn current_wrong(&self, visit: &Visit, holder: Holder<'_>, failure: Failure) -> Answer {
        let reason = "current_password";
        self.tell(visit, &Event::PasswordChangeFail { reason });
        let text = failure.text("The current password is wrong.");
        failure.mark(self.form(visit, holder, failure.status(), Err(Some(&text))))
    }

    fn not_stored(&self, visit: &Visit, holder: Holder<'_>, unchanged: Unchanged) -> Answer {
        let name = Some(holder.name().as_str());
        let tell = |reason| self.tell_of(visit, name, None, &Event::PasswordChangeFail { reason });
        match unchanged {
            Unchanged::Policy(problem) => {
                tell("policy");
                let text = problem.to_string();
                self.form(visit, holder, StatusCode::UNPROCESSABLE_ENTITY, Err(Some(&text)))
            }
            Unchanged::Busy => {
                tell("busy");
                let text = Failure::Busy.text("");
                let page = self.form(visit, holder, Failure::Busy.status(), Err(Some(&text)));
                Failure::Busy.mark(page)
            }
            Unchanged::Overtaken => {
                tell("account_changed");
                self.sign_in_again(visit, OVERTAKEN)
            }
            Unchanged::Failed(error) => {
                tell("users_file");
                tracing::error!(%error, "a new password could not be stored");
                let status = StatusCode::SERVICE_UNAVAILABLE;
                self.form(visit, holder, status, Err(Some(NOT_STORED)))
            }
        }
    }

    /// The page: `Ok` with a notice, or `Err` with what was wrong, if anything.
    fn form(
        &self,
        visit: &Visit,
        holder: Holder<'_>,
        status: StatusCode,
        says: Result<&str, Option<&str>>,
    ) -> Answer {
        let ticket = match holder {
            Holder::Session(_) => None,
            Holder::Ticket { pre, ticket } => Some(self.tickets.seal(ticket, pre.value(), visit.host())),
        };
        let rules = format!(
            "At least {MIN_CHARS} characters, such as four or five words that have nothing to do with each other. No need for digits or symbols."
        );
        let view = PasswordView {
            host: visit.host().as_str(),
            user: holder.name().as_str(),
            token: &self.tokens.issue(&shown(visit, &holder), visit.now),
            ticket: ticket.as_deref(),
            rules: &rules,
            notice: says.ok(),
            error: says.err().flatten(),
        };
        let set = match holder {
            Holder::Session(_) => None,
            Holder::Ticket { pre, .. } => pre.to_set(),
        };
        Answer::new(self.pages.password(status, &view)).cookies(set)
    }
}

fn shown<'a>(visit: &'a Visit, holder: &Holder<'_>) -> Shown<'a> {
    Shown { holder: holder.key(), purpose: Purpose::Password, host: visit.host() }
}

const CHOOSE: &str =
    "Your password is right, but it was made to be used once. Choose one of your own to go on.";
const TOO_OLD: &str =
    "This form was open for more than ten minutes, so here is a new one. Nothing was changed yet.";
const NO_TOKEN: &str = "This form was used already. Nothing was changed yet.";
const TICKET_OVER: &str =
    "That took more than ten minutes, or the password was changed meanwhile. Please sign in.";
const CHANGED_SIGN_IN: &str = "Your new password is stored. Please sign in with it.";
const OTHERS_LIVE: &str = "Your new password is stored, but your other sessions could not be ended. Try again in a moment, or ask an administrator.";
const OVERTAKEN: &str = "Your account was changed by somebody else meanwhile, so your new password was not stored. Please sign in again.";
const NOT_STORED: &str =
    "The new password could not be stored; the current one stays. Tell whoever runs this site.";
