//! What the active look does, step by step: with a test account, at most 200 requests, and out again at the end.

use std::time::Duration;

use crate::crypto::Secret;
use crate::doctor::active::Acted;
use crate::doctor::active::person::Entry;
use crate::doctor::active::person::Origin;
use crate::doctor::active::person::Person;
use crate::doctor::active::person::Site;
use crate::doctor::active::recipe::Recipe;
use crate::doctor::client::Trouble;
use crate::doctor::cookie::is_routing;
use crate::doctor::cookie::looks_like_session;
use crate::doctor::jar::Jar;
use crate::doctor::look::made_up;
use crate::doctor::look::made_up_like;
use crate::doctor::seen::elsewhere;

/// So many requests at most, those for getting out again apart.
pub(crate) const MOST_REQUESTS: usize = 200;
/// And so many for those.
pub(crate) const RESERVE: usize = 30;
/// No two within this time.
pub(crate) const PACE: Duration = Duration::from_millis(100);
/// And all of them within this.
pub(crate) const LONGEST: Duration = Duration::from_mins(3);
/// And getting out again within this.
pub(crate) const FAREWELL: Duration = Duration::from_secs(20);

/// Ids that are compared, where strangers are given them.
const SAMPLES: usize = 32;
/// And where it takes a login for each.
const SAMPLE_LOGINS: usize = 8;
/// Of a browser's cookies, so many are tried for being the session.
const MOST_COOKIES: usize = 8;

/// Why the active look came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stopped {
    #[error("the private page of the recipe is shown to strangers too; name one that needs the login")]
    Open,
    #[error(
        "the login did not open the private page: it answered {0}; look at the recipe's fields, password and `private`"
    )]
    NotIn(u16),
    #[error("the site cannot be used: {0}")]
    Trouble(#[from] Trouble),
}

/// Who is at the site.
pub(crate) struct Walk<'a> {
    pub(crate) site: Site,
    recipe: &'a Recipe,
    /// Somebody who logged in as one should.
    ann: Person,
    /// Somebody whom a session was planted on.
    bob: Person,
    /// Whoever else comes in.
    guest: Person,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(site: Site, recipe: &'a Recipe) -> Self {
        let [ann, bob, guest] = [Person::default(), Person::default(), Person::default()];
        Self { site, recipe, ann, bob, guest }
    }

    /// Does everything, and notes what came of it; whatever is there when time is up counts.
    pub(crate) async fn go(&mut self, acted: &mut Acted) -> Result<(), Stopped> {
        if Person::default().is_in(&mut self.site, &self.recipe.private).await? {
            return Err(Stopped::Open);
        }
        let entry = self.first_login(acted).await?;
        self.compare(acted, &entry.before).await?;
        acted.inside.splice(0..0, entry.answers);
        self.plant(acted).await?;
        self.replay(acted).await?;
        self.forge(acted).await?;
        self.sample(acted, &entry.before).await?;
        self.log_out(acted).await?;
        Ok(())
    }

    /// Out again, whatever happened: everybody who may still be in.
    pub(crate) async fn leave(&mut self) {
        let Some(logout) = &self.recipe.logout else { return };
        for person in [&mut self.ann, &mut self.bob, &mut self.guest] {
            if !person.jar.is_empty() {
                // Nothing is left to be done about one that cannot.
                drop(person.log_out(&mut self.site, logout, Origin::Own).await);
            }
        }
    }

    async fn first_login(&mut self, acted: &mut Acted) -> Result<Entry, Stopped> {
        // Many apps give a session with the first page, and not with that of the login.
        self.ann.arrive(&mut self.site).await?;
        let entry = self.ann.log_in(&mut self.site, &self.recipe.login).await?;
        let (is_in, private) = self.ann.enter(&mut self.site, &self.recipe.private).await?;
        if !is_in {
            return Err(Stopped::NotIn(private.answer.status));
        }
        acted.inside.push(private);
        if acted.session.is_none() {
            acted.session = self.session().await?;
        }
        self.note_sample(acted, &self.ann.jar);
        Ok(entry)
    }

    /// The cookie without which the private page is closed.
    async fn session(&mut self) -> Result<Option<String>, Trouble> {
        // Without a load balancer's cookie another server answers, who may know nobody.
        let names = self.ann.jar.names().filter(|name| !is_routing(name));
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort_by_key(|name| !looks_like_session(name));
        for name in names.iter().take(MOST_COOKIES) {
            let mut without = Person::with(self.ann.jar.without(name));
            if !without.is_in(&mut self.site, &self.recipe.private).await? {
                return Ok(Some(name.clone()));
            }
        }
        Ok(names.into_iter().find(|name| looks_like_session(name)))
    }

    /// The id before and after the login.
    async fn compare(&mut self, acted: &mut Acted, before: &Jar) -> Result<(), Trouble> {
        let Some(name) = acted.session.clone() else { return Ok(()) };
        let Some(old) = self.value(before, &name) else { return Ok(()) };
        acted.kept_id = Some(self.value(&self.ann.jar, &name) == Some(old));
        acted.old_id_opens =
            Some(Person::with(before.clone()).is_in(&mut self.site, &self.recipe.private).await?);
        Ok(())
    }

    /// A made-up session, and a login on top of it; and two sessions at once.
    async fn plant(&mut self, acted: &mut Acted) -> Result<(), Trouble> {
        let Some(name) = acted.session.clone() else { return Ok(()) };
        let planted = self.value(&self.ann.jar, &name).map_or_else(made_up, made_up_like);
        let mut jar = Jar::default();
        jar.put((&name, &planted), self.site.target.url(), self.site.now);
        self.bob = Person::with(jar.clone());
        self.bob.log_in(&mut self.site, &self.recipe.login).await?;
        if self.bob.is_in(&mut self.site, &self.recipe.private).await? {
            acted.planted_kept = Some(self.value(&self.bob.jar, &name) == Some(&planted));
            acted.planted_opens = Some(Person::with(jar).is_in(&mut self.site, &self.recipe.private).await?);
            self.note_sample(acted, &self.bob.jar);
            acted.two_at_once = Some(self.ann_is_in().await?);
        }
        Ok(())
    }

    /// The session elsewhere: in another browser, and in an address.
    async fn replay(&mut self, acted: &mut Acted) -> Result<(), Trouble> {
        self.stay_in().await?;
        let mut other = self.ann.in_another_browser();
        acted.other_browser = Some(other.is_in(&mut self.site, &self.recipe.private).await?);
        self.stay_in().await?;
        let value = acted
            .session
            .as_ref()
            .and_then(|name| Some((name.clone(), self.value(&self.ann.jar, name)?.to_owned())));
        if let Some((name, value)) = value {
            let opens = Person::enter_by_url(&mut self.site, &self.recipe.private, (&name, &value)).await?;
            acted.id_from_url = Some(opens);
        }
        Ok(())
    }

    /// What a page of another site can make a browser do: log out, log in.
    async fn forge(&mut self, acted: &mut Acted) -> Result<(), Trouble> {
        let recipe = self.recipe;
        if let Some(logout) = &recipe.logout {
            self.ann.log_out(&mut self.site, logout, Origin::Foreign).await?;
            acted.foreign_logout = Some(!self.stay_in().await?);
            self.ann.fetch(&mut self.site, &logout.action).await?;
            acted.logout_by_get = Some(!self.stay_in().await?);
        }
        self.guest = Person::default();
        acted.foreign_login = Some(self.guest.log_in_from_elsewhere(&mut self.site, recipe).await?);
        self.dismiss_guest().await
    }

    /// More ids: of strangers where they are given one, else of further logins.
    async fn sample(&mut self, acted: &mut Acted, before: &Jar) -> Result<(), Trouble> {
        let Some(name) = acted.session.clone() else { return Ok(()) };
        if self.value(before, &name).is_some() {
            acted.samples.clear();
            for _ in 0..SAMPLES {
                let mut stranger = Person::default();
                stranger.open(&mut self.site, &self.recipe.login.page).await?;
                self.note_sample(acted, &stranger.jar);
            }
            return Ok(());
        }
        // Without a way out, each login would leave a session.
        while self.recipe.logout.is_some() && acted.samples.len() < SAMPLE_LOGINS {
            self.guest = Person::default();
            self.guest.log_in(&mut self.site, &self.recipe.login).await?;
            let had = acted.samples.len();
            self.note_sample(acted, &self.guest.jar);
            self.dismiss_guest().await?;
            if acted.samples.len() == had {
                break;
            }
        }
        Ok(())
    }

    /// Logging out, and the old session afterwards.
    async fn log_out(&mut self, acted: &mut Acted) -> Result<(), Trouble> {
        let Some(logout) = &self.recipe.logout else { return Ok(()) };
        self.stay_in().await?;
        let before = self.ann.jar.clone();
        let answers = self.ann.log_out(&mut self.site, logout, Origin::Own).await?;
        acted.logout_elsewhere = elsewhere(&self.site.target, &answers);
        let still_in = self.ann_is_in().await?;
        acted.still_in = Some(still_in);
        let session =
            acted.session.as_ref().and_then(|name| self.value(&before, name).map(|value| (name, value)));
        acted.cookie_left = session.map(|(name, value)| self.value(&self.ann.jar, name) == Some(value));
        acted.old_opens = Some(Person::with(before).is_in(&mut self.site, &self.recipe.private).await?);
        Ok(())
    }

    /// The value under which the private page is asked for a cookie.
    fn value<'j>(&self, jar: &'j Jar, name: &str) -> Option<&'j str> {
        let url = self.site.target.page(&self.recipe.private.page)?;
        jar.get(name, &url, self.site.now)
    }

    /// Keeps the session's value in `jar` for comparison.
    fn note_sample(&self, acted: &mut Acted, jar: &Jar) {
        let value = acted.session.as_ref().and_then(|name| self.value(jar, name));
        acted.samples.extend(value.map(|value| Secret::new(value.to_owned())));
    }

    async fn ann_is_in(&mut self) -> Result<bool, Trouble> {
        self.ann.is_in(&mut self.site, &self.recipe.private).await
    }

    /// Whether she is still in; if not, she is again afterwards: what comes then proves something only if she was.
    async fn stay_in(&mut self) -> Result<bool, Trouble> {
        let is_in = self.ann_is_in().await?;
        if !is_in {
            self.ann = Person::default();
            self.ann.log_in(&mut self.site, &self.recipe.login).await?;
            if !self.ann_is_in().await? {
                return Err(Trouble::NotInAgain);
            }
        }
        Ok(is_in)
    }

    async fn dismiss_guest(&mut self) -> Result<(), Trouble> {
        if let Some(logout) = &self.recipe.logout {
            self.guest.log_out(&mut self.site, logout, Origin::Own).await?;
            self.guest = Person::default();
        }
        Ok(())
    }
}
