//! The options that say which plugin an author's tool looks at, and in which queue.

use plugin_runtime::{Role, Runtime};
use toml::{Table, Value};

use crate::author::subject::{Subject, SubjectError, Wish};
use crate::cli::failure::{Failure, chain};
use crate::cli::{Context, text};

#[derive(Clone, clap::Args)]
pub(super) struct SubjectArguments {
    /// A component file, `builtin:NAME`, or a folder with plugin.toml; the folder at hand if nothing is said.
    pub(super) component: Option<String>,
    /// What to look at it as, if it fills several roles.
    #[arg(long, value_parser = ["rating", "rules", "policy"])]
    role: Option<String>,
    /// Take shape, budget and parameters from this queue of plugins.toml.
    #[arg(long)]
    queue: Option<String>,
    /// Players per team, one entry a team: 5,5
    #[arg(long, value_delimiter = ',', conflicts_with = "queue")]
    team_sizes: Vec<u16>,
    /// Statistics of a player: kills,deaths
    #[arg(long, value_delimiter = ',', conflicts_with = "queue")]
    stats: Vec<String>,
    /// Contest-wide statistics: rounds
    #[arg(long, value_delimiter = ',', conflicts_with = "queue")]
    totals: Vec<String>,
    /// Regions: eu,us
    #[arg(long, value_delimiter = ',', conflicts_with = "queue")]
    regions: Vec<String>,
    /// Roles of players: tank,healer
    #[arg(long, value_delimiter = ',', conflicts_with = "queue")]
    roles: Vec<String>,
    /// Parameters as a JSON object, instead of those of plugin.toml or of the queue.
    #[arg(long)]
    parameters: Option<String>,
}

impl SubjectArguments {
    /// What the options ask for.
    pub(super) fn wish(&self, context: &Context<'_>) -> Result<Wish, Failure> {
        let queue = self.queue.as_deref().map(|name| queue(context, name)).transpose()?;
        let mut shape = Table::new();
        if !self.team_sizes.is_empty() {
            shape.insert("team_sizes".to_owned(), Value::from(self.team_sizes.iter().map(|size| i64::from(*size)).collect::<Vec<_>>()));
        }
        let lists = [("stats", &self.stats), ("totals", &self.totals), ("regions", &self.regions), ("roles", &self.roles)];
        for (key, names) in lists.into_iter().filter(|(_, names)| !names.is_empty()) {
            shape.insert(key.to_owned(), Value::from(names.clone()));
        }
        let role = self.role.as_deref().and_then(|name| Role::ALL.into_iter().find(|role| role.name() == name));
        Ok(Wish { component: self.component.clone(), role, shape, parameters: self.parameters.clone(), queue })
    }
}

impl SubjectArguments {
    /// Parameters as given, if they are.
    pub(super) fn parameters(&self) -> Option<&str> {
        self.parameters.as_deref()
    }

    /// Takes shape, budget and parameters from this queue, if one is named.
    pub(super) fn take_queue(&mut self, queue: Option<&str>) {
        self.queue = queue.map(str::to_owned).or(self.queue.take());
    }

    /// The plugin that the options name; one that is not of this role is wrong usage.
    pub(super) fn find(&self, context: &Context<'_>, runtime: &Runtime, role: Role) -> Result<Subject, Failure> {
        let mut wish = self.wish(context)?;
        wish.role = wish.role.or(Some(role).filter(|_| wish.component.is_none()));
        let subject = Subject::find(runtime, wish)?;
        if subject.role == role {
            return Ok(subject);
        }
        let problem = format!("{} is for the role `{}`", text::printable(&subject.shown), subject.role);
        Err(Failure::usage(problem, format!("this command takes plugins of the role `{role}`")))
    }
}

fn queue(context: &Context<'_>, name: &str) -> Result<crate::config::QueueConfig, Failure> {
    let config = context.load_config()?;
    config.queue(name).cloned().ok_or_else(|| {
        let known: Vec<_> = config.queues.iter().map(crate::config::QueueConfig::name).collect();
        Failure::usage(format!("plugins.toml has no queue `{}`", text::printable(name)), format!("it has: {}", known.join(", ")))
    })
}

impl From<SubjectError> for Failure {
    fn from(error: SubjectError) -> Self {
        let help = match &error {
            SubjectError::NoManifest { .. } => "name a component file, `builtin:NAME`, or a folder that `ranked plugin new` made",
            SubjectError::Ambiguous { .. } => "choose one with --role",
            SubjectError::Unfit(_) => "`ranked plugin check` looks at it more closely",
            _ => "",
        };
        match error {
            SubjectError::Queue(error) => error.into(),
            SubjectError::Unfit(_) => Self::refused(chain(&error), help),
            error => Self::usage(chain(&error), help),
        }
    }
}
