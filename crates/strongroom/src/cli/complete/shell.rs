//! The scripts that make shells ask for completion, and their way into the shells' start files.

use crate::cli::env::Env;
use crate::cli::error::CliError;
use crate::cli::grammar::{Command, Exit};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Shells that are known.
pub(super) const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// What there is.
pub(super) const COMMANDS: &[Command] = &[Command {
    words: "completion",
    usage: "bash|zsh|fish",
    about: "Print a script that completes commands, flags and paths",
    details: "\n    $ source <(strongroom completion bash)     # in ~/.bashrc; zsh likewise, in ~/.zshrc\n    \
              $ strongroom completion fish > ~/.config/fish/completions/strongroom.fish\n\n\
              `strongroom -autocomplete-install` does that for the shells in use, -autocomplete-uninstall\n\
              takes it back. Paths come from the server, with your token; without either, commands and\n\
              flags are completed.",
    flags: &[],
    count: (1, 1),
    run: |session| {
        let name = session.parsed.arg(0).to_owned();
        let text = script(&name)
            .ok_or_else(|| CliError::usage(format!("there is no script for {name}; there are bash, zsh and fish")))?;
        session.out.line(text.trim_end());
        Ok(Exit::Good)
    },
}];

fn script(shell: &str) -> Option<&'static str> {
    match shell {
        "bash" => Some(BASH),
        "zsh" => Some(ZSH),
        "fish" => Some(FISH),
        _ => None,
    }
}

/// Bash cuts words at `=` and `:` too, so the line is cut here by blanks alone, and what bash regards as done is taken off
/// the candidates again.
const BASH: &str = r#"# Completion of strongroom for bash.
_strongroom() {
    local line="${COMP_LINE:0:COMP_POINT}" cur done candidate
    local -a words
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    cur="${words[${#words[@]}-1]}"
    done="${cur%"${cur##*[=:]}"}"
    COMPREPLY=()
    while IFS= read -r candidate; do
        COMPREPLY+=("${candidate#"$done"}")
    done < <("${words[0]}" __complete -- "${words[@]:1}" 2>/dev/null)
    [[ ${#COMPREPLY[@]} -gt 0 && ${COMPREPLY[0]} == *[/=] ]] && compopt -o nospace
    return 0
}
complete -F _strongroom strongroom
"#;

const ZSH: &str = r#"#compdef strongroom
# Completion of strongroom for zsh.
_strongroom() {
    local -a candidates open closed
    candidates=("${(@f)$("${words[1]}" __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    open=(${(M)candidates:#*[/=]})
    closed=(${candidates:#*[/=]})
    (( $#open )) && compadd -S '' -- "${open[@]}"
    (( $#closed )) && compadd -- "${closed[@]}"
    return 0
}
if [[ $funcstack[1] == _strongroom ]]; then
    _strongroom "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
    compdef _strongroom strongroom
fi
"#;

const FISH: &str = r#"# Completion of strongroom for fish.
function __strongroom_complete
    set -l words (commandline -opc) (commandline -ct)
    $words[1] __complete -- $words[2..-1] 2>/dev/null
end
complete -c strongroom -f -a '(__strongroom_complete)'
"#;

/// Marks the line that is ours in a start file.
const MARK: &str = "# strongroom completion";

/// Puts completion into the start files of the shells in use, or takes it out again. Says what it did.
pub(crate) fn install(env: &Env, wanted: bool) -> Result<Vec<String>, CliError> {
    let home = env.home().ok_or_else(|| CliError::usage("HOME is not set, so there are no start files to change"))?;
    let mut said = Vec::new();
    for (shell, file) in [("bash", home.join(".bashrc")), ("zsh", home.join(".zshrc"))] {
        if file.is_file() && change(&file, shell, wanted)? {
            said.push(format!(
                "{} {}",
                if wanted { "completion added to" } else { "completion removed from" },
                file.display()
            ));
        }
    }
    let fish = home.join(".config/fish");
    if fish.is_dir() && change_fish(&fish.join("completions"), wanted)? {
        said.push(format!("{} fish", if wanted { "completion added to" } else { "completion removed from" }));
    }
    if said.is_empty() {
        said.push("nothing to do: no start file of bash, zsh or fish needs a change".to_owned());
    }
    Ok(said)
}

fn cannot(path: &Path) -> impl FnOnce(std::io::Error) -> CliError {
    let path = path.to_owned();
    move |source| CliError::File { what: "cannot change", path, source }
}

/// Whether anything was changed.
fn change(file: &PathBuf, shell: &str, wanted: bool) -> Result<bool, CliError> {
    let text = fs::read_to_string(file).map_err(cannot(file))?;
    let present = text.lines().any(|line| line.ends_with(MARK));
    if present == wanted {
        return Ok(false);
    }
    if wanted {
        let mut open = OpenOptions::new().append(true).open(file).map_err(cannot(file))?;
        let begin = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        let line = format!("{begin}source <(strongroom completion {shell}) {MARK}\n");
        open.write_all(line.as_bytes()).map_err(cannot(file))?;
        return Ok(true);
    }
    let kept: String = text.split_inclusive('\n').filter(|line| !line.trim_end().ends_with(MARK)).collect();
    fs::write(file, kept).map_err(cannot(file))?;
    Ok(true)
}

fn change_fish(folder: &Path, wanted: bool) -> Result<bool, CliError> {
    let file = folder.join("strongroom.fish");
    match (wanted, file.exists()) {
        (true, false) => {
            fs::create_dir_all(folder).and_then(|()| fs::write(&file, FISH)).map_err(cannot(&file))?;
            Ok(true)
        }
        (false, true) => fs::remove_file(&file).map(|()| true).map_err(cannot(&file)),
        _ => Ok(false),
    }
}
