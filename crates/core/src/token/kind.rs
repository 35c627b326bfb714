use serde::{Deserialize, Serialize};
use strongroom_model::TokenType;

/// How a mount or a token role has a say in the type of its tokens: it settles it, or only says what holds when nobody
/// asks for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TypeRule {
    /// Service tokens, unless something else is asked for.
    #[default]
    DefaultService,
    /// Batch tokens, unless something else is asked for.
    DefaultBatch,
    /// Service tokens, whatever is asked for.
    Service,
    /// Batch tokens, whatever is asked for.
    Batch,
}

impl TypeRule {
    const ALL: [TypeRule; 4] = [Self::DefaultService, Self::DefaultBatch, Self::Service, Self::Batch];

    /// Vault's word for it, as roles and mounts show it.
    pub fn word(self) -> &'static str {
        match self {
            TypeRule::DefaultService => "default-service",
            TypeRule::DefaultBatch => "default-batch",
            TypeRule::Service => "service",
            TypeRule::Batch => "batch",
        }
    }

    /// Reads Vault's word, exactly. `None` for any other.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.word() == word)
    }

    /// The type of a token for which this was asked, or nothing.
    pub fn settle(self, asked: Option<TokenType>) -> TokenType {
        match (self, asked) {
            (TypeRule::Service, _) | (TypeRule::DefaultService, None) => TokenType::Service,
            (TypeRule::Batch, _) | (TypeRule::DefaultBatch, None) => TokenType::Batch,
            (_, Some(asked)) => asked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_gives_way_and_a_fixed_type_does_not() {
        let settled = |word: &str, asked| TypeRule::parse(word).unwrap().settle(asked);
        for asked in [None, Some(TokenType::Service), Some(TokenType::Batch)] {
            assert_eq!(settled("service", asked), TokenType::Service);
            assert_eq!(settled("batch", asked), TokenType::Batch);
            assert_eq!(settled("default-service", asked), asked.unwrap_or(TokenType::Service));
            assert_eq!(settled("default-batch", asked), asked.unwrap_or(TokenType::Batch));
        }
        assert_eq!(TypeRule::parse("Batch"), None);
    }
}
