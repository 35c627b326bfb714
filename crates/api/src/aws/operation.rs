//! Services, their operations, and the way of one request through the gate. An operation is one line of a table: its
//! name, what it asks the gate for, and who serves it.

use super::arn::Names;
use super::input::Input;
use super::refusal::Refusal;
use super::{AwsSettings, parameter, secrets, sts};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use strongroom_core::access_key::{VerifiedKey, Wish};
use strongroom_core::mount::Mount;
use strongroom_core::{Access, Ask, CoreError, Fields, Grant, Object, Open, Reply, SecretAct, Strongroom, Veto, Visit};
use strongroom_model::{FolderPath, MountPath, RequestPath, SecretPath};

/// What clients call by a name of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Secrets Manager.
    Secrets,
    /// Parameter Store, a part of Systems Manager.
    Parameters,
    /// The security token service.
    Sts,
}

impl Service {
    /// The service that a target begins with.
    pub(super) fn of_target(prefix: &str) -> Option<Self> {
        [Self::Secrets, Self::Parameters].into_iter().find(|service| service.target() == prefix)
    }

    /// What targets of it begin with; for STS, which has none, its name.
    pub(super) fn target(self) -> &'static str {
        match self {
            Self::Secrets => "secretsmanager",
            Self::Parameters => "AmazonSSM",
            Self::Sts => "sts",
        }
    }

    /// The name that signatures are made for, and that ARNs and policies use.
    pub(super) fn signing_name(self) -> &'static str {
        match self {
            Self::Secrets => "secretsmanager",
            Self::Parameters => "ssm",
            Self::Sts => "sts",
        }
    }

    /// Its operations.
    pub(super) fn table(self) -> &'static [Operation] {
        match self {
            Self::Secrets => secrets::OPERATIONS,
            Self::Parameters => parameter::OPERATIONS,
            Self::Sts => sts::OPERATIONS,
        }
    }
}

/// One line of a table.
pub(crate) struct Operation {
    /// The name as clients send it; the trail names the act so.
    pub(crate) name: &'static str,
    /// How it is served.
    pub(crate) work: Work,
}

/// A future that a handler returns.
pub(crate) type Acting<'a> = Pin<Box<dyn Future<Output = Result<Reply, Refusal>> + Send + 'a>>;

/// How an operation is served.
pub(crate) enum Work {
    /// On one object, by one passage through the gate.
    One(Passage),
    /// On several: the handler passes the gate for each.
    Each(for<'a> fn(&'a Tour<'a>) -> Acting<'a>),
}

/// One passage through the gate.
pub(crate) struct Passage {
    /// Who may come.
    pub(crate) access: Access,
    /// What it asks for.
    pub(crate) asks: fn(&Input<'_>) -> Result<Asked, Refusal>,
    /// Who serves it.
    pub(crate) act: for<'a> fn(Call<'a>) -> Acting<'a>,
}

/// What a request asks the gate for.
pub(crate) struct Asked {
    /// What is to be done, as policies see it.
    pub(crate) operation: strongroom_core::Operation,
    /// On what.
    pub(crate) place: Place,
}

/// What a request acts on. Names of secrets are below the mount that the region stands for.
pub(crate) enum Place {
    /// A secret.
    Secret {
        /// Its name.
        path: SecretPath,
        /// What is to be done with it.
        act: SecretAct,
    },
    /// A folder of secrets, to be listed.
    Folder(FolderPath),
    /// A path of its own (`sys/...`).
    Path(String),
}

impl Operation {
    /// Whether it is for those who have no key yet.
    pub(super) fn is_unsigned(&self) -> bool {
        matches!(&self.work, Work::One(passage) if passage.access == Access::Open)
    }

    /// What a request would ask for, if that can be told.
    pub(super) fn look(&self, fields: &Fields, settings: &AwsSettings) -> Option<Asked> {
        let input = Input { fields, names: Names { region: &settings.default_region, account: &settings.account } };
        match &self.work {
            Work::One(passage) => (passage.asks)(&input).ok(),
            Work::Each(_) => None,
        }
    }
}

/// A request on its way: everything that does not change while it is served.
pub(crate) struct Tour<'a> {
    pub(crate) settings: &'a AwsSettings,
    pub(crate) strongroom: &'a Strongroom,
    pub(crate) open: &'a Open,
    /// The key it was signed with; none where none is needed.
    pub(crate) key: Option<&'a VerifiedKey>,
    /// What may stand in the trail; its path is that of the region's mount.
    pub(crate) visit: &'a Visit,
    pub(crate) region: &'a str,
    pub(crate) fields: &'a Fields,
    pub(crate) service: Service,
}

/// A request that the gate let through.
pub(crate) struct Call<'a> {
    pub(crate) tour: &'a Tour<'a>,
    pub(crate) open: &'a Open,
    pub(crate) grant: &'a Grant,
    pub(crate) input: Input<'a>,
}

impl<'a> Tour<'a> {
    /// Serves the request.
    pub(super) async fn run(&'a self, line: &'static Operation) -> Result<Reply, Refusal> {
        if !self.settings.serves(self.region) {
            return self.turn_away(line.name, Refusal::region(self.service)).await;
        }
        match &line.work {
            Work::One(passage) => self.pass(line.name, passage, self.fields).await,
            Work::Each(act) => act(self).await,
        }
    }

    /// The parameters, as they are read.
    pub(crate) fn input<'b>(&'b self, fields: &'b Fields) -> Input<'b> {
        Input { fields, names: self.names() }
    }

    /// How names are spelled for this request.
    pub(crate) fn names(&self) -> Names<'_> {
        Names { region: self.region, account: &self.settings.account }
    }

    /// Asks the gate, acts, and closes the entry: the way of everything that is done through this dialect.
    pub(crate) async fn pass(
        &self,
        action: &'static str,
        passage: &Passage,
        fields: &Fields,
    ) -> Result<Reply, Refusal> {
        let asked = match (passage.asks)(&self.input(fields)) {
            Ok(asked) => asked,
            Err(refusal) => return self.turn_away(action, refusal).await,
        };
        let ask = match self.ask(asked, passage.access) {
            Ok(ask) => ask,
            Err(error) => return self.turn_away(action, error.into()).await,
        };
        let wish = self.wish(action, &ask.object, &ask.visit.path);
        let admitted = self.open.gate.admit_key(ask, self.key, &wish, fields).await;
        let grant = admitted.map_err(|error| self.refused(action, error, fields))?;
        let call = Call { tour: self, open: self.open, grant: &grant, input: self.input(fields) };
        let (result, words) = match (passage.act)(call).await {
            Ok(reply) => (Ok(reply), None),
            Err(refusal) => {
                let (words, cause) = refusal.split();
                (Err(cause), Some(words))
            }
        };
        self.open.gate.conclude(grant, fields, &result).await?;
        match (result, words) {
            (Ok(reply), _) => Ok(reply),
            (Err(cause), Some(words)) => Err(Refusal::put_together(words, cause)),
            (Err(cause), None) => Err(cause.into()),
        }
    }

    /// Refuses what comes to no gate; it is in the trail when this returns.
    pub(crate) async fn turn_away(&self, action: &'static str, refusal: Refusal) -> Result<Reply, Refusal> {
        let (words, cause) = refusal.split();
        let result: Result<(), CoreError> = Err(cause);
        self.strongroom.note(self.visit, action, &result).await?;
        Err(result.err().map_or_else(|| CoreError::Denied.into(), |cause| Refusal::put_together(words, cause)))
    }

    /// A refusal of the gate, in AWS's words.
    fn refused(&self, action: &'static str, error: CoreError, fields: &Fields) -> Refusal {
        let veto = match &error {
            CoreError::Denied => None,
            CoreError::Forbidden(veto) => Some(*veto),
            _ => return error.into(),
        };
        if self.key.is_none() {
            return Refusal::unsigned(self.service);
        }
        let service = self.service.signing_name();
        let sent = ["SecretId", "Name", "RoleArn"].into_iter().find_map(|name| fields.text(name).ok().flatten());
        let on = match sent {
            Some(name) if name.len() <= 512 => format!(" on resource: {name}"),
            _ => String::new(),
        };
        // As AWS words it ("Troubleshoot access denied error messages").
        let why = match veto {
            None => format!("because no identity-based policy allows the {service}:{action} action"),
            Some(Veto::Rule) => "with an explicit deny in an identity-based policy".to_owned(),
            Some(Veto::SecretsPolicy) => "with an explicit deny in a resource-based policy".to_owned(),
            Some(Veto::SessionDenies) => "with an explicit deny in a session policy".to_owned(),
            Some(Veto::SessionLacks) => format!("because no session policy allows the {service}:{action} action"),
        };
        let who = sts::caller(self).arn;
        Refusal::denied(format!("User: {who} is not authorized to perform: {service}:{action}{on} {why}"))
    }

    fn ask(&self, asked: Asked, access: Access) -> Result<Ask, CoreError> {
        let mut visit = self.visit.clone();
        visit.operation = asked.operation;
        let mount = match &asked.place {
            Place::Path(path) => {
                visit.path = RequestPath::parse(path)?;
                self.open.mounts.table().resolve(&visit.path).map(|(mount, _)| mount)
            }
            Place::Secret { .. } | Place::Folder(_) => Some(self.mount()?),
        };
        let object = match asked.place {
            Place::Path(_) => Object::Path { exists: None },
            Place::Secret { path, act } => {
                visit.path = RequestPath::parse(&format!("{}/{}/{path}", self.visit.path, act.section()))?;
                Object::Secret { path, act }
            }
            Place::Folder(path) => {
                visit.path = match path.as_str() {
                    "" => RequestPath::parse(&format!("{}/metadata", self.visit.path))?,
                    inner => RequestPath::parse(&format!("{}/metadata/{inner}", self.visit.path))?,
                };
                Object::Folder { path }
            }
        };
        Ok(Ask { visit, credential: None, mount, access, object })
    }

    /// What is asked for, in AWS's words. Only who was let do less than their role may is asked about what it is.
    fn wish(&self, action: &'static str, object: &Object, path: &RequestPath) -> Wish {
        let service = self.service.signing_name();
        if !self.key.is_some_and(VerifiedKey::is_narrowed) {
            return Wish { service, action, resource: String::new() };
        }
        let Names { region, account } = self.names();
        let here = format!("arn:aws:{service}:{region}:{account}:");
        let resource = match (self.service, object) {
            // Values below a path are allowed by the path alone ("Restricting access to Parameter Store parameters").
            (Service::Parameters, _) if action == "GetParametersByPath" => {
                let path = self.fields.text("Path").ok().flatten().unwrap_or_default();
                format!("{here}parameter/{}", path.trim_start_matches('/'))
            }
            (Service::Parameters, Object::Secret { path, .. }) => format!("{here}parameter/{path}"),
            (Service::Secrets, Object::Secret { path, .. }) => format!("{here}secret:{}", path.aws_name()),
            (Service::Sts, _) => {
                let role = path.as_str().strip_prefix("sys/aws/roles/").and_then(|rest| rest.strip_suffix("/assume"));
                format!("arn:aws:iam::{account}:role/{}", role.unwrap_or_default())
            }
            _ => format!("{here}*"),
        };
        Wish { service, action, resource }
    }

    /// The mount that the region stands for.
    fn mount(&self) -> Result<Arc<Mount>, CoreError> {
        let path = MountPath::parse(self.visit.path.as_str())?;
        let mount = self.open.mounts.table().at(&path).filter(|mount| mount.is_versioned_kv()).cloned();
        mount.ok_or_else(|| {
            CoreError::Unfit(format!("the region stands for {path}/, which is no KV version 2 mount; ask an operator"))
        })
    }
}

/// A line of a table with one passage.
macro_rules! operation {
    ($name:literal, $access:ident, $asks:expr, $act:path) => {
        $crate::aws::operation::Operation {
            name: $name,
            work: $crate::aws::operation::Work::One($crate::aws::operation::Passage {
                access: strongroom_core::Access::$access,
                asks: $asks,
                act: |call| strongroom_core::boxed(|| $act(call)),
            }),
        }
    };
}
pub(crate) use operation;
