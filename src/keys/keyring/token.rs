//! A PKCS#11 token: key pairs that it makes, and private operations that it does without giving the key out.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand;
use aws_lc_rs::rsa::PublicKeyComponents;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::elliptic_curve::{EcKdf, Ecdh1DeriveParams};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use zeroize::Zeroizing;

use crate::keys::algorithm::Algorithm;
use crate::keys::error::KeysError;
use crate::keys::hex;
use crate::keys::kek::{PrivateKek, PublicKek};
use crate::keys::kem::ecdh::{self, Curve};
use crate::keys::kem::rsa::SECRET_LENGTH;
use crate::keys::keyring::oaep;
use crate::keys::secret::{Passphrase, SharedSecret};

/// The named curves, as `CKA_EC_PARAMS` wants them: DER object identifiers (RFC 5480 2.1.1.1).
const P256_OID: &[u8] = &[0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
const P384_OID: &[u8] = &[0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x22];

/// A token that we are logged in to.
pub struct Token {
    context: Pkcs11,
    slot: Slot,
    pin: Passphrase,
    sessions_max: usize,
    idle: Mutex<Vec<Session>>,
}

impl Token {
    /// Loads the vendor's library, finds the token with this label, and logs in.
    pub fn open(
        module: &Path,
        label: &str,
        pin: Passphrase,
        sessions_max: usize,
    ) -> Result<Arc<Self>, KeysError> {
        let context = Pkcs11::new(module).map_err(failed("loading the module"))?;
        match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(failed("starting the module")(error)),
        }
        let slot = slot_of(&context, label)?;
        let token = Self { context, slot, pin, sessions_max, idle: Mutex::default() };
        let session = token.connect()?;
        token.put_back(session);
        Ok(Arc::new(token))
    }

    fn connect(&self) -> Result<Session, KeysError> {
        let session = self.context.open_rw_session(self.slot).map_err(failed("opening a session"))?;
        let pin = AuthPin::new(self.pin.expose_secret().into());
        match session.login(UserType::User, Some(&pin)) {
            // Logging in counts for all sessions of the process.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(error) => Err(failed("logging in")(error)),
        }
    }

    fn put_back(&self, session: Session) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.sessions_max {
            idle.push(session);
        }
    }

    /// Runs `work` in a session; once more in a new one when the old one turns out to be dead.
    fn with_session<T>(
        &self,
        doing: &'static str,
        work: impl Fn(&Session) -> Result<T, Error>,
    ) -> Result<T, KeysError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(session) = idle {
            match work(&session) {
                Ok(value) => {
                    self.put_back(session);
                    return Ok(value);
                }
                Err(error) if !is_lost(&error) => {
                    self.put_back(session);
                    return Err(failed(doing)(error));
                }
                // Dropping the dead session closes it; the others that are idle are as dead.
                Err(_) => self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear(),
            }
        }
        let session = self.connect()?;
        let value = work(&session).map_err(failed(doing))?;
        self.put_back(session);
        Ok(value)
    }

    /// Lets the token make a key pair that never leaves it; gives its `CKA_ID` in hexadecimal and the public half.
    pub(crate) fn generate(
        &self,
        algorithm: Algorithm,
        label: &str,
    ) -> Result<(String, PublicKek), KeysError> {
        let mut id = [0; 16];
        rand::fill(&mut id).map_err(|_| KeysError::Crypto("the random generator"))?;
        let (mechanism, mut public, private) = templates(algorithm)?;
        let named = [Attribute::Token(true), Attribute::Id(id.to_vec()), Attribute::Label(label.into())];
        public.extend_from_slice(&named);
        let private = [private.as_slice(), named.as_slice()].concat();
        let bytes = self.with_session("making a key pair", |session| {
            let (public_handle, _) = session.generate_key_pair(&mechanism, &public, &private)?;
            public_bytes(session, public_handle, algorithm)
        })?;
        let public = bytes
            .and_then(|bytes| PublicKek::parse(algorithm, &bytes))
            .ok_or_else(|| problem("making a key pair", "the public key it gave is not one"))?;
        Ok((hex::encode(&id), public))
    }

    /// The private half of `public`, found by its `CKA_ID` and tried out.
    pub(crate) fn private(self: &Arc<Self>, public: &PublicKek, object: &str) -> Result<TokenKek, KeysError> {
        let id = hex::decode(object)
            .ok_or_else(|| problem("finding the key", "its id is not hexadecimal"))?
            .to_vec();
        let mut kek = TokenKek { token: Arc::clone(self), operation: Operation::Oaep, id };
        kek.operation = match public.algorithm() {
            Algorithm::EcdhP256 => Operation::Derive(Curve::P256),
            Algorithm::EcdhP384 => Operation::Derive(Curve::P384),
            Algorithm::RsaOaep3072 => kek.choose_rsa(public)?,
            Algorithm::XWing => return Err(no_x_wing()),
        };
        Ok(kek)
    }
}

#[derive(Clone, Copy)]
enum Operation {
    /// The token decodes RSA-OAEP with SHA-256.
    Oaep,
    /// The token does bare RSA, and the decoding is ours: SoftHSM 2 knows OAEP with SHA-1 only.
    BareRsa,
    /// The token derives the ECDH secret.
    Derive(Curve),
}

/// A private half inside a token.
pub(crate) struct TokenKek {
    token: Arc<Token>,
    operation: Operation,
    id: Vec<u8>,
}

impl TokenKek {
    /// Tries both ways on a message of our own, once, so that no foreign message decides which is used.
    fn choose_rsa(&self, public: &PublicKek) -> Result<Operation, KeysError> {
        let (encapsulated, secret) = public.encapsulate()?;
        let mut answer = Err(problem("trying the key", "it does not decrypt what its public key encrypts"));
        for operation in [Operation::Oaep, Operation::BareRsa] {
            match self.run(operation, &encapsulated) {
                Ok(Some(found)) if found.expose_secret() == secret.expose_secret() => return Ok(operation),
                Ok(_) => {}
                Err(error) => answer = Err(error),
            }
        }
        answer
    }

    fn run(&self, operation: Operation, encapsulated: &[u8]) -> Result<Option<SharedSecret>, KeysError> {
        match operation {
            Operation::Oaep => self.decrypt(&oaep_mechanism(), encapsulated).map(|plain| {
                plain.filter(|plain| plain.len() == SECRET_LENGTH).map(|plain| SharedSecret::new(&plain))
            }),
            Operation::BareRsa => {
                Ok(self.decrypt(&Mechanism::RsaX509, encapsulated)?.and_then(|plain| oaep::decode(&plain)))
            }
            Operation::Derive(curve) => self.derive(curve, encapsulated),
        }
    }

    fn decrypt(
        &self,
        mechanism: &Mechanism<'_>,
        data: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, KeysError> {
        self.token.with_session("decrypting", |session| {
            let key = self.find(session)?;
            match session.decrypt(mechanism, key, data) {
                Ok(plain) => Ok(Some(Zeroizing::new(plain))),
                Err(error) if is_bad_data(&error) => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    fn derive(&self, curve: Curve, coordinates: &[u8]) -> Result<Option<SharedSecret>, KeysError> {
        let point = ecdh::point_of(coordinates);
        // Checked here, since not every token tells a point off the curve from a fault of its own.
        if ecdh::Public::parse(curve, &point).is_none() {
            return Ok(None);
        }
        let length = curve.coordinate_length();
        self.token.with_session("deriving", |session| {
            let key = self.find(session)?;
            let parameters = Ecdh1DeriveParams::new(EcKdf::null(), &point);
            let template = [
                Attribute::Class(ObjectClass::SECRET_KEY),
                Attribute::KeyType(KeyType::GENERIC_SECRET),
                Attribute::Token(false),
                Attribute::Sensitive(false),
                Attribute::Extractable(true),
                Attribute::ValueLen((length as u64).into()),
            ];
            let derived = session.derive_key(&Mechanism::Ecdh1Derive(parameters), key, &template)?;
            let found = session.get_attributes(derived, &[AttributeType::Value]);
            session.destroy_object(derived)?;
            match found?.pop() {
                Some(Attribute::Value(value)) if value.len() == length => {
                    Ok(Some(SharedSecret::new(&Zeroizing::new(value))))
                }
                _ => Err(Error::InvalidValue),
            }
        })
    }

    fn find(&self, session: &Session) -> Result<ObjectHandle, Error> {
        let template = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Id(self.id.clone())];
        // Private objects are invisible, not forbidden, to a session that has lost its login: ask for that by name.
        match session.find_objects(&template)?.as_slice() {
            [key] => Ok(*key),
            _ => Err(Error::Pkcs11(RvError::KeyHandleInvalid, cryptoki::context::Function::FindObjects)),
        }
    }
}

impl PrivateKek for TokenKek {
    fn decapsulate(&self, encapsulated: &[u8]) -> Result<Option<SharedSecret>, KeysError> {
        self.run(self.operation, encapsulated)
    }
}

fn slot_of(context: &Pkcs11, label: &str) -> Result<Slot, KeysError> {
    let slots = context.get_slots_with_initialized_token().map_err(failed("listing tokens"))?;
    let mut labels = Vec::new();
    let mut found = Vec::new();
    for slot in slots {
        let info = context.get_token_info(slot).map_err(failed("listing tokens"))?;
        if info.label() == label {
            found.push(slot);
        }
        labels.push(info.label().to_owned());
    }
    match found.as_slice() {
        [slot] => Ok(*slot),
        [] => Err(problem("finding the token", &format!("none is labelled {label:?}, there are {labels:?}"))),
        _ => Err(problem("finding the token", &format!("{} are labelled {label:?}", found.len()))),
    }
}

fn templates(
    algorithm: Algorithm,
) -> Result<(Mechanism<'static>, Vec<Attribute>, Vec<Attribute>), KeysError> {
    let mut private =
        vec![Attribute::Private(true), Attribute::Sensitive(true), Attribute::Extractable(false)];
    let ec = |oid: &[u8]| vec![Attribute::EcParams(oid.to_vec()), Attribute::Private(false)];
    let (mechanism, public) = match algorithm {
        Algorithm::XWing => return Err(no_x_wing()),
        Algorithm::RsaOaep3072 => {
            private.push(Attribute::Decrypt(true));
            let public = vec![
                Attribute::ModulusBits(3072.into()),
                Attribute::PublicExponent(vec![1, 0, 1]),
                Attribute::Encrypt(true),
                Attribute::Private(false),
            ];
            return Ok((Mechanism::RsaPkcsKeyPairGen, public, private));
        }
        Algorithm::EcdhP256 => (Mechanism::EccKeyPairGen, ec(P256_OID)),
        Algorithm::EcdhP384 => (Mechanism::EccKeyPairGen, ec(P384_OID)),
    };
    private.push(Attribute::Derive(true));
    Ok((mechanism, public, private))
}

fn public_bytes(
    session: &Session,
    key: ObjectHandle,
    algorithm: Algorithm,
) -> Result<Option<Vec<u8>>, Error> {
    if algorithm == Algorithm::RsaOaep3072 {
        let found = session.get_attributes(key, &[AttributeType::Modulus, AttributeType::PublicExponent])?;
        return Ok(match found.as_slice() {
            [Attribute::Modulus(n), Attribute::PublicExponent(e)] => rsa_der(n, e),
            _ => None,
        });
    }
    Ok(match session.get_attributes(key, &[AttributeType::EcPoint])?.pop() {
        // PKCS#11 2.40 wants the point in a DER OCTET STRING; some tokens give it bare.
        Some(Attribute::EcPoint(point)) => match point.as_slice() {
            [4, length, inner @ ..] if usize::from(*length) == inner.len() => Some(inner.to_vec()),
            bare => Some(bare.to_vec()),
        },
        _ => None,
    })
}

fn rsa_der(n: &[u8], e: &[u8]) -> Option<Vec<u8>> {
    let trim = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
    let components = PublicKeyComponents { n: trim(n), e: trim(e) };
    Some(components.as_der().ok()?.as_ref().to_vec())
}

fn oaep_mechanism() -> Mechanism<'static> {
    let parameters =
        PkcsOaepParams::new(MechanismType::SHA256, PkcsMgfType::MGF1_SHA256, PkcsOaepSource::empty());
    Mechanism::RsaPkcsOaep(parameters)
}

fn no_x_wing() -> KeysError {
    problem(
        "making a key pair",
        "PKCS#11 has no X-Wing; use rsa-oaep-3072, ecdh-p256 or ecdh-p384 in a token",
    )
}

fn problem(doing: &'static str, problem: &str) -> KeysError {
    KeysError::Token { doing, problem: problem.to_owned() }
}

fn failed(doing: &'static str) -> impl Fn(Error) -> KeysError {
    move |error| KeysError::Token { doing, problem: error.to_string() }
}

/// The message was not made for the key.
fn is_bad_data(error: &Error) -> bool {
    use RvError::{DataInvalid, DataLenRange, EncryptedDataInvalid, EncryptedDataLenRange};
    matches!(
        error,
        Error::Pkcs11(DataInvalid | DataLenRange | EncryptedDataInvalid | EncryptedDataLenRange, _)
    )
}

/// The session is gone, or has lost its login: a new one may work.
fn is_lost(error: &Error) -> bool {
    use RvError::{
        DeviceError, DeviceRemoved, KeyHandleInvalid, SessionClosed, SessionHandleInvalid, TokenNotPresent,
        UserNotLoggedIn,
    };
    matches!(
        error,
        Error::Pkcs11(
            DeviceError
                | DeviceRemoved
                | KeyHandleInvalid
                | SessionClosed
                | SessionHandleInvalid
                | TokenNotPresent
                | UserNotLoggedIn,
            _
        )
    )
}
