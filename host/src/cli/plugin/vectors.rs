//! `ranked plugin test --vectors`: reference vectors against one rating engine, or a whole file against all built-in ones.

use std::path::Path;

use plugin_runtime::{Role, Runtime, builtin_names};
use serde_json::Value;

use super::test::{End, Ran};
use crate::author::cases::{Dialect, PassedOver, Vector, VectorFile, Vectors};
use crate::author::subject::{Subject, Wish};
use crate::cli::failure::{Failure, chain};

/// A file of vectors, and what the caller adds to the parameters of each.
pub(super) struct VectorRun<'a> {
    runtime: &'a Runtime,
    file: &'a Path,
    vectors: VectorFile,
    extra: Value,
}

impl<'a> VectorRun<'a> {
    /// Reads the file. `parameters`, as JSON, stand above those of the file: a switch that the file does not know.
    pub(super) fn read(runtime: &'a Runtime, file: &'a Path, parameters: Option<&str>) -> Result<Self, Failure> {
        let unusable = |error: &dyn std::error::Error| Failure::usage(format!("{}: {}", file.display(), chain(error)), "");
        let json = std::fs::read(file).map_err(|error| unusable(&error))?;
        let vectors = VectorFile::parse(&json).map_err(|error| unusable(&error))?;
        let extra = parameters.map(serde_json::from_str).transpose().map_err(|error| unusable(&error))?.unwrap_or_default();
        Ok(Self { runtime, file, vectors, extra })
    }

    /// Every entry that one component can stand for: those of `algo`, or for a built-in engine all that it knows.
    pub(super) fn of(&self, subject: &Subject, algo: Option<&str>) -> Result<Vec<Ran>, Failure> {
        if subject.role != Role::Rating {
            return Err(Failure::usage(format!("vectors are for rating engines; this is for the role `{}`", subject.role), ""));
        }
        let dialect = self.dialect(subject)?;
        let known = dialect.algos();
        let in_file = self.vectors.algos();
        let Some(algo) = algo else {
            let algos: Vec<_> = known.iter().copied().filter(|known| in_file.iter().any(|algo| algo == known)).collect();
            if algos.is_empty() {
                let has = format!("choose one with --algo; the file has: {}", in_file.join(", "));
                return Err(Failure::usage(format!("which vectors {} should meet is not known", subject.shown), has));
            }
            return algos.into_iter().map(|algo| self.run(subject, &dialect, algo)).collect();
        };
        if !known.is_empty() && !known.contains(&algo) && in_file.iter().any(|in_file| in_file == algo) {
            let problem = format!("{} does not stand for `{algo}`", subject.shown);
            return Err(Failure::usage(problem, format!("it stands for: {}", known.join(", "))));
        }
        Ok(vec![self.run(subject, &dialect, algo)?])
    }

    /// Every entry of the file, each against the built-in engine that stands for its `algo`.
    pub(super) fn of_builtins(&self) -> Result<Vec<Ran>, Failure> {
        let run = |algo: &String| match Dialect::builtin_for(algo).filter(|name| builtin_names().contains(name)) {
            Some(name) => {
                let wish = Wish { component: Some(format!("builtin:{name}")), ..Wish::default() };
                let subject = Subject::find(self.runtime, wish)?;
                self.run(&subject, &self.dialect(&subject)?, algo)
            }
            None => self.without_engine(algo),
        };
        self.vectors.algos().iter().map(run).collect()
    }

    fn dialect(&self, subject: &Subject) -> Result<Dialect, Failure> {
        let refused =
            |error| Failure::refused(format!("{} {}", subject.shown, chain(&error)), "`ranked plugin check` looks at it more closely");
        let inspection = self.runtime.inspect(&subject.source).map_err(refused)?;
        let described = inspection.described.map_err(refused)?;
        Ok(Dialect::of(&subject.shown, &described.description.parameters_schema))
    }

    fn entries(&self, algo: &str) -> Result<Vectors, Failure> {
        self.vectors.of(algo).map_err(|error| Failure::usage(format!("{}: {error}", self.file.display()), ""))
    }

    fn without_engine(&self, algo: &str) -> Result<Ran, Failure> {
        let Vectors { vectors, mut passed_over } = self.entries(algo)?;
        let over = |Vector { id, .. }| PassedOver { id, reason: format!("no built-in engine stands for `{algo}`") };
        passed_over.extend(vectors.into_iter().map(over));
        Ok(Ran { place: self.file.display().to_string(), algo: Some(algo.to_owned()), component: None, ends: Vec::new(), passed_over })
    }

    fn run(&self, subject: &Subject, dialect: &Dialect, algo: &str) -> Result<Ran, Failure> {
        let Vectors { vectors, passed_over } = self.entries(algo)?;
        let end = |vector: &Vector| {
            let mut queue = subject.with_parameters(&subject.queues[0], dialect.parameters(vector, &self.extra).to_string());
            queue.shape.team_sizes = vector.team_sizes();
            // Cannot truncate: the entry was read with 16 bits a team.
            queue.shape.teams = queue.shape.team_sizes.len() as u16;
            match subject.load_rating(self.runtime, &queue) {
                Ok(engine) => vector.run(&engine, dialect).map_err(|fault| format!("the plugin {fault}")),
                Err(error) => Err(format!("with the parameters of the vector it {}", chain(&error))),
            }
        };
        let ends = vectors.iter().map(|vector| End { name: vector.id.clone(), result: end(vector) }).collect();
        let (algo, component) = (Some(algo.to_owned()), Some(subject.shown.clone()));
        Ok(Ran { place: self.file.display().to_string(), algo, component, ends, passed_over })
    }
}
