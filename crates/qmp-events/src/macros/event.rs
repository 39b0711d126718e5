//! `event!`: an object with a name and facts.

/// An event: its object, its name and its facts.
macro_rules! event {
    (
        $(#[doc = $doc:literal])*
        $NAME:ident, since $since:literal, unstable; $($body:tt)*
    ) => {
        event! { @ [$($doc)*] $NAME [since $since] [] [unstable] [] [] []; $($body)* }
    };
    (
        $(#[doc = $doc:literal])*
        $NAME:ident, since $since:literal
            $(, removed $removed:literal)?
            $(, seed $seed:literal)?
            $(, limited $([$limit_since:literal $(per $key:literal $(except $member:literal $value:literal)?)?])+)?
            $(, latched $latch:literal)?;
        $($body:tt)*
    ) => {
        event! {
            @ [$($doc)*] $NAME [since $since] [$(since $removed)?] [] [$($seed)?]
            [$($([$limit_since $(per $key $(except $member $value)?)?])+)?] [$($latch)?];
            $($body)*
        }
    };
    (
        @ [$($doc:literal)*] $NAME:ident [$($since:tt)*] [$($removed:tt)*] [$($unstable:ident)?] [$($seed:literal)?]
        [$([$limit_since:literal $(per $key:literal $(except $member:literal $value:literal)?)?])*] [$($latch:literal)?];
        $name:ident $(<$lt:lifetime>)? { $($members:tt)* }
    ) => {
        object_type! {
            [
                $(#[doc = $doc])*
                ///
                #[doc = concat!("On the wire: `", stringify!($NAME), "`, ", stringify!($($since)*), ".")]
            ]
            $name $(<$lt>)? { $($members)* }
        }

        impl $(<$lt>)? $name $(<$lt>)? {
            /// The name on the wire.
            pub const NAME: &'static str = stringify!($NAME);

            /// What is known about this event.
            pub const FACTS: $crate::facts::EventFacts = $crate::facts::EventFacts {
                name: stringify!($NAME),
                doc: $crate::facts::Doc(&[$($doc),*]),
                since: match since_of!($($since)*) { Some(since) => since, None => unreachable!() },
                removed: since_of!($($removed)*),
                unstable: [$(stringify!($unstable),)? ""].len() > 1,
                seed: [$(Some($seed),)? None][0],
                limits: &[ $( $crate::facts::LimitSince {
                    since: $crate::Version::literal(stringify!($limit_since)),
                    key: [$(Some($key),)? None][0],
                    except: [$($(Some(($member, $value)),)?)? None][0],
                }, )* ],
                latch: [$(Some($latch),)? None][0],
                members: Self::MEMBERS,
            };
        }
    };
}
