//! Who we are to a remote: what the environment says, and the files of AWS that it leads to. A secret goes from there
//! into requests, and nowhere else.

use std::{collections::BTreeMap, path::PathBuf};

use pipe_cache::{Access, Secret};
use pipe_engine::diag::one_of;

use super::Environment;
use crate::error::CliError;

/// What AWS's variables and files say of a bucket.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Bucket {
    pub access: Access,
    pub region: Option<String>,
    pub endpoint: Option<String>,
}

/// Of a web server: a token, or a user with a password.
pub(super) fn web(env: &Environment) -> Access {
    let get = |name: &str| env.get(name).filter(|value| !value.is_empty());
    match (get("PIPE_REMOTE_TOKEN"), get("PIPE_REMOTE_USER"), get("PIPE_REMOTE_PASSWORD")) {
        (Some(token), ..) => Access::Bearer(Secret::new(token)),
        (None, Some(user), password) => {
            let password = Secret::new(password.map(String::as_str).unwrap_or_default());
            Access::Basic { user: user.clone(), password }
        }
        _ => Access::Anonymous,
    }
}

/// Of a bucket. A profile that the project names goes before the keys of the environment, and those before the profile
/// of the environment, as with AWS's own tools.
pub(super) fn bucket(env: &Environment, named: Option<&str>) -> Result<Bucket, CliError> {
    let get = |name: &str| env.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let profile = named.or(get("AWS_PROFILE")).or(get("AWS_DEFAULT_PROFILE"));
    let profiles = profiles(env);
    let said = profiles.get(profile.unwrap_or("default"));
    let of_profile = |name: &str| said.and_then(|said| said.get(name)).filter(|value| !value.is_empty());
    let first = |names: &[&str], setting: &str| {
        names.iter().find_map(|name| get(name)).map(str::to_owned).or_else(|| of_profile(setting).cloned())
    };
    let region = first(&["AWS_REGION", "AWS_DEFAULT_REGION"], "region");
    let endpoint = first(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"], "endpoint_url");
    let keys = |key: Option<&str>, secret: Option<&str>, token: Option<&str>| {
        let (key, secret) = (key?.to_owned(), Secret::new(secret?));
        Some(Access::Aws { key, secret, token: token.map(Secret::new) })
    };
    let of_env = || keys(get("AWS_ACCESS_KEY_ID"), get("AWS_SECRET_ACCESS_KEY"), get("AWS_SESSION_TOKEN"));
    let of_file = || {
        let text = |name| of_profile(name).map(String::as_str);
        keys(text("aws_access_key_id"), text("aws_secret_access_key"), text("aws_session_token"))
    };
    let access = if named.is_some() { of_file().or_else(of_env) } else { of_env().or_else(of_file) };
    if let (None, Some(profile)) = (&access, profile) {
        let known = said.is_some();
        return Err(CliError::Usage {
            message: if known {
                format!("the AWS profile `{profile}` has no access key of its own (a role, or a login)")
            } else {
                format!("there is no AWS profile `{profile}`")
            },
            help: if known {
                Some(format!(
                    "`eval \"$(aws configure export-credentials --profile {profile} --format env)\"` gives one"
                ))
            } else {
                let known = one_of(profile, "there are", profiles.keys().map(String::as_str));
                known.or_else(|| {
                    Some(
                        "~/.aws/config and ~/.aws/credentials have none; set AWS_ACCESS_KEY_ID and \
                          AWS_SECRET_ACCESS_KEY, or write one with `aws configure`"
                            .to_owned(),
                    )
                })
            },
        });
    }
    Ok(Bucket { access: access.unwrap_or_default(), region, endpoint })
}

/// What both files say of profiles, by name.
fn profiles(env: &Environment) -> BTreeMap<String, BTreeMap<String, String>> {
    let file = |variable: &str, name: &str| {
        let home = || env.get("HOME").map(|home| PathBuf::from(home).join(".aws").join(name));
        let path = env.get(variable).map(PathBuf::from).or_else(home)?;
        std::fs::read_to_string(path).ok()
    };
    let mut profiles = BTreeMap::<String, BTreeMap<String, String>>::new();
    // Of two files that say it, `credentials` counts; in `config` they are called `profile lab`.
    let files =
        [(file("AWS_CONFIG_FILE", "config"), "profile "), (file("AWS_SHARED_CREDENTIALS_FILE", "credentials"), "")];
    for (text, before) in files {
        let mut inside: Option<&mut BTreeMap<String, String>> = None;
        for line in text.as_deref().unwrap_or_default().lines() {
            let line = line.trim();
            if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
                let header = header.split_whitespace().collect::<Vec<_>>().join(" ");
                let name = if header == "default" { Some("default") } else { header.strip_prefix(before) };
                inside = name.map(|name| profiles.entry(name.to_owned()).or_default());
            } else if let (Some(said), Some((name, value)), false) =
                (&mut inside, line.split_once('='), line.starts_with('#'))
            {
                said.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
    }
    profiles
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn key(bucket: &Bucket) -> &str {
        match &bucket.access {
            Access::Aws { key, .. } => key,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn keys_come_from_the_environment_and_from_profiles_as_with_the_tools_of_aws() {
        let dir = tempfile::tempdir().unwrap();
        let (config, credentials) = (dir.path().join("config"), dir.path().join("credentials"));
        std::fs::write(
            &config,
            "[default]\nregion = eu-west-1\n[profile  lab]\nregion=eu-north-1\nendpoint_url = http://x\n\
            [profile sso]\nsso_session = s\n",
        )
        .unwrap();
        std::fs::write(
            &credentials,
            "# mine\n[default]\naws_access_key_id = D\naws_secret_access_key = secret-d\n[lab]\n\
            aws_access_key_id=L\naws_secret_access_key=secret-l\naws_session_token=token-l\n",
        )
        .unwrap();
        let files = [
            ("AWS_CONFIG_FILE", config.to_str().unwrap()),
            ("AWS_SHARED_CREDENTIALS_FILE", credentials.to_str().unwrap()),
        ];
        let with = |more: &[(&str, &str)]| environment(&[&files, more].concat());

        let default = bucket(&with(&[]), None).unwrap();
        assert_eq!((key(&default), default.region.as_deref()), ("D", Some("eu-west-1")));
        let lab = bucket(&with(&[("AWS_PROFILE", "lab")]), None).unwrap();
        assert_eq!((key(&lab), lab.endpoint.as_deref()), ("L", Some("http://x")));
        let keys = [("AWS_ACCESS_KEY_ID", "E"), ("AWS_SECRET_ACCESS_KEY", "secret-e"), ("AWS_PROFILE", "lab")];
        assert_eq!(key(&bucket(&with(&keys), None).unwrap()), "E");
        assert_eq!(key(&bucket(&with(&keys), Some("default")).unwrap()), "D");
        let region = bucket(&with(&[("AWS_REGION", "us-east-2")]), None).unwrap();
        assert_eq!(region.region.as_deref(), Some("us-east-2"));
        assert_eq!(bucket(&environment(&[]), None).unwrap(), Bucket::default());
        for (env, profile, said, helped) in [
            (with(&[]), "sso", "no access key", "export-credentials --profile sso"),
            (with(&[]), "labs", "no AWS profile", "`lab`"),
            (environment(&[]), "lab", "no AWS profile", "AWS_ACCESS_KEY_ID"),
        ] {
            let CliError::Usage { message, help } = bucket(&env, Some(profile)).unwrap_err() else {
                panic!("{profile}")
            };
            assert!(message.contains(said), "{message}");
            assert!(help.as_ref().is_some_and(|help| help.contains(helped)), "{help:?}");
        }
        // Nothing shows a secret.
        assert!(!format!("{lab:?}").contains("secret-l") && !format!("{lab:?}").contains("token-l"));
    }

    #[test]
    fn a_web_server_takes_a_token_or_a_password() {
        assert_eq!(web(&environment(&[])), Access::Anonymous);
        assert_eq!(web(&environment(&[("PIPE_REMOTE_TOKEN", "t")])), Access::Bearer(Secret::new("t")));
        let user = [("PIPE_REMOTE_USER", "u"), ("PIPE_REMOTE_PASSWORD", "p")];
        let expected = Access::Basic { user: "u".to_owned(), password: Secret::new("p") };
        assert_eq!(web(&environment(&user)), expected);
    }
}
