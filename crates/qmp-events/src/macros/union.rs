//! `union!`: an object of several shapes.

/// An object of several shapes, told apart by a member that stands beside the others.
macro_rules! union {
    (
        $(#[doc = $doc:literal])*
        $name:ident $(<$lt:lifetime>)? by $tag:literal { $(
            $(#[doc = $branch_doc:literal])*
            $branch:ident $wire:literal $(, since $since:literal)? : $object:ident $(<$object_lt:lifetime>)? ;
        )* }
    ) => {
        $(#[doc = $doc])*
        ///
        /// Open: a shape of a later QEMU is kept as `Unknown`.
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name $(<$lt>)? {
            $( $(#[doc = $branch_doc])* $branch($object $(<$object_lt>)?), )*
            /// A shape outside the vocabulary.
            Unknown($crate::UnknownBranch),
        }

        impl $(<$lt>)? $name $(<$lt>)? {
            /// What is known about this union.
            pub const FACTS: $crate::facts::UnionFacts = $crate::facts::UnionFacts {
                name: stringify!($name),
                doc: $crate::facts::Doc(&[$($doc),*]),
                tag: $tag,
                branches: &[ $( $crate::facts::BranchFacts {
                    name: $wire,
                    doc: $crate::facts::Doc(&[$($branch_doc),*]),
                    since: since_of!($(since $since)?),
                    object: &$object::FACTS,
                }, )* ],
            };

            /// The value of the member that tells the shape.
            pub fn tag(&self) -> &str {
                match self {
                    $( Self::$branch(_) => $wire, )*
                    Self::Unknown(branch) => &branch.tag,
                }
            }
        }

        impl $(<$lt>)? Default for $name $(<$lt>)? {
            fn default() -> Self {
                Self::Unknown(Default::default())
            }
        }

        wire_union! { $name $($lt)?; $tag; $( $branch $wire, )* }
    };
}

/// `Wire` for a union.
macro_rules! wire_union {
    ($name:ident; $($rest:tt)*) => { wire_union! { @ $name, 'wire, $name, $name; $($rest)* } };
    ($name:ident $lt:lifetime; $($rest:tt)*) => {
        wire_union! { @ $name, $lt, $name<$lt>, $name<'static>; $($rest)* }
    };
    (@ $name:ident, $lt:lifetime, $ty:ty, $owned:ty; $tag:literal; $( $branch:ident $wire:literal, )*) => {
        impl<$lt> $crate::wire::Wire<$lt> for $ty {
            const TYPE: $crate::facts::TypeFacts = $crate::facts::TypeFacts::Union(&$name::FACTS);
            type Owned = $owned;

            fn read(r: &mut $crate::json::Reader<$lt>) -> Result<Self, $crate::json::ReadError> {
                use $crate::wire::Object as _;
                let tag = $crate::wire::find_tag(r.clone(), $tag)?;
                Ok(match &*tag {
                    $( $wire => Self::$branch(<_>::read_beside(r, Some($tag))?), )*
                    _ => Self::Unknown($crate::UnknownBranch {
                        tag: tag.into_owned().into_boxed_str(),
                        ..$crate::UnknownBranch::read_beside(r, Some($tag))?
                    }),
                })
            }

            fn write(&self, out: &mut String) {
                use $crate::wire::Object as _;
                let tag = Some(($tag, self.tag()));
                match self {
                    $( Self::$branch(object) => object.write_beside(out, tag), )*
                    Self::Unknown(branch) => branch.write_beside(out, tag),
                }
            }

            fn into_owned(self) -> $owned {
                match self {
                    $( Self::$branch(object) => $name::$branch(object.into_owned()), )*
                    Self::Unknown(branch) => $name::Unknown(branch),
                }
            }

            fn outside(&self, path: &str, found: &mut Vec<$crate::Outside>) {
                match self {
                    $( Self::$branch(object) => object.outside_members(path, found), )*
                    Self::Unknown(branch) => branch.outside($tag, path, found),
                }
            }
        }
    };
}
