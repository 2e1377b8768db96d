// Bouncy Castle as a peer of the interop matrix: many jobs in one run, since Java starts slowly.
//   java -cp … Interop.java JOBS
// JOBS has one job a line, fields `name=value` between tabs. To each there is one line of answer on standard output:
// `ok`, a tab and what was seen, or `failed`, a tab and why. Keys and certificates are files in PEM, a pair is KEY:CERTIFICATE.

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.FileReader;
import java.io.OutputStream;
import java.io.StringReader;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.Security;
import java.security.cert.X509Certificate;
import java.security.interfaces.ECPublicKey;
import java.security.spec.MGF1ParameterSpec;
import java.security.spec.PSSParameterSpec;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import javax.crypto.spec.OAEPParameterSpec;
import javax.crypto.spec.PSource;
import javax.mail.Session;
import javax.mail.internet.MimeBodyPart;
import javax.mail.internet.MimeMessage;
import javax.mail.internet.MimeMultipart;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.cms.CMSObjectIdentifiers;
import org.bouncycastle.asn1.cms.ContentInfo;
import org.bouncycastle.asn1.cms.IssuerAndSerialNumber;
import org.bouncycastle.asn1.cms.KeyAgreeRecipientInfo;
import org.bouncycastle.asn1.cms.OriginatorIdentifierOrKey;
import org.bouncycastle.asn1.cms.RecipientInfo;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.x509.SubjectKeyIdentifier;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaCertStore;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cms.*;
import org.bouncycastle.cms.jcajce.*;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.mail.smime.*;
import org.bouncycastle.openssl.PEMParser;
import org.bouncycastle.openssl.jcajce.JcaPEMKeyConverter;
import org.bouncycastle.openssl.jcajce.JcaPEMWriter;
import org.bouncycastle.operator.OutputAEADEncryptor;
import org.bouncycastle.operator.OutputEncryptor;
import org.bouncycastle.operator.jcajce.JcaAlgorithmParametersConverter;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;

public class Interop {
    private final Map<String, String> job = new HashMap<>();

    public static void main(String[] args) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        for (String line : Files.readAllLines(Path.of(args[0]))) {
            Interop one = new Interop();
            for (String field : line.split("\t")) {
                int equals = field.indexOf('=');
                one.job.put(field.substring(0, equals), field.substring(equals + 1));
            }
            try {
                System.out.println("ok\t" + one.run());
            } catch (Exception | LinkageError problem) {
                StringBuilder all = new StringBuilder();
                for (Throwable t = problem; t != null; t = t.getCause()) {
                    all.append(t).append("; ");
                }
                System.out.println("failed\t" + all.toString().replaceAll("\\s+", " "));
            }
        }
    }

    private String run() throws Exception {
        switch (job.get("do")) {
            case "sign":
                return sign();
            case "certificates":
                return certificates();
            case "verify":
                return verify();
            case "encrypt":
                return encrypt();
            case "decrypt":
                return decrypt();
            case "compress":
                return compress();
            case "decompress":
                return decompress();
            default:
                throw new IllegalArgumentException(job.get("do"));
        }
    }

    // --- files

    private byte[] input(String field) throws Exception {
        return Files.readAllBytes(Path.of(job.get(field)));
    }

    private void output(byte[] bytes) throws Exception {
        Files.write(Path.of(job.get("out")), bytes);
    }

    private boolean is(String field) {
        return job.containsKey(field);
    }

    private static Object pem(String file) throws Exception {
        try (PEMParser parser = new PEMParser(new FileReader(file))) {
            return parser.readObject();
        }
    }

    private static PrivateKey key(String pair) throws Exception {
        PrivateKeyInfo info = (PrivateKeyInfo) pem(pair.split(":")[0]);
        return new JcaPEMKeyConverter().setProvider("BC").getPrivateKey(info);
    }

    private static X509CertificateHolder holder(String pair) throws Exception {
        String[] files = pair.split(":");
        return (X509CertificateHolder) pem(files[files.length - 1]);
    }

    private static X509Certificate certificate(String pair) throws Exception {
        return new JcaX509CertificateConverter().setProvider("BC").getCertificate(holder(pair));
    }

    private static byte[] ski(X509CertificateHolder holder) {
        return SubjectKeyIdentifier.fromExtensions(holder.getExtensions()).getKeyIdentifier();
    }

    /** A CMS object in the form that is wanted. */
    private void write(ContentInfo made) throws Exception {
        if (job.get("format").equals("pem")) {
            StringWriter text = new StringWriter();
            try (JcaPEMWriter writer = new JcaPEMWriter(text)) {
                writer.writeObject(made);
            }
            output(text.toString().getBytes("US-ASCII"));
        } else {
            output(made.getEncoded("DER"));
        }
    }

    /** A CMS object from the form that it has. */
    private byte[] cms() throws Exception {
        if (!job.get("format").equals("pem")) {
            return input("message");
        }
        try (PEMParser parser = new PEMParser(new StringReader(new String(input("message"), "US-ASCII")))) {
            return ((ContentInfo) parser.readObject()).getEncoded();
        }
    }

    private boolean mime() {
        return job.get("format").equals("smime");
    }

    private static Session session() {
        return Session.getInstance(new Properties());
    }

    private MimeBodyPart part() throws Exception {
        return new MimeBodyPart(new ByteArrayInputStream(input("content")));
    }

    private MimeMessage message() throws Exception {
        return new MimeMessage(session(), new ByteArrayInputStream(input("message")));
    }

    private void write(Object content, String type) throws Exception {
        MimeMessage message = new MimeMessage(session());
        message.setContent(content, type);
        message.saveChanges();
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        message.writeTo(out);
        output(out.toByteArray());
    }

    private void write(MimeBodyPart part) throws Exception {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        part.writeTo(out);
        output(out.toByteArray());
    }

    // --- signed-data

    private List<SignerInfoGenerator> signers(List<X509CertificateHolder> holders) throws Exception {
        String[] pairs = job.get("signers").split(",");
        String[] algorithms = job.get("algorithms").split(",");
        List<SignerInfoGenerator> all = new ArrayList<>();
        for (int i = 0; i < pairs.length; i++) {
            JcaSignerInfoGeneratorBuilder builder = new JcaSignerInfoGeneratorBuilder(
                    new JcaDigestCalculatorProviderBuilder().setProvider("BC").build());
            builder.setDirectSignature(is("no-attributes"));
            X509CertificateHolder holder = holder(pairs[i]);
            JcaContentSignerBuilder signer;
            if (is("pss")) {
                String[] p = job.get("pss").split("/");
                PSSParameterSpec spec =
                        new PSSParameterSpec(p[0], "MGF1", new MGF1ParameterSpec(p[1]), Integer.parseInt(p[2]), 1);
                signer = new JcaContentSignerBuilder(algorithms[i], spec);
            } else {
                signer = new JcaContentSignerBuilder(algorithms[i]);
            }
            signer.setProvider("BC");
            all.add(is("ski") ? builder.build(signer.build(key(pairs[i])), ski(holder))
                    : builder.build(signer.build(key(pairs[i])), holder));
            holders.add(holder);
        }
        return all;
    }

    private String sign() throws Exception {
        List<X509CertificateHolder> holders = new ArrayList<>();
        List<SignerInfoGenerator> signers = signers(holders);
        boolean opaque = job.get("form").equals("opaque");
        if (mime()) {
            SMIMESignedGenerator generator = new SMIMESignedGenerator();
            signers.forEach(generator::addSignerInfoGenerator);
            generator.addCertificates(new JcaCertStore(holders));
            if (opaque) {
                write(generator.generateEncapsulated(part()));
            } else {
                MimeMultipart made = generator.generate(part());
                write(made, made.getContentType());
            }
            return "";
        }
        if (job.get("format").equals("ber")) {
            CMSSignedDataStreamGenerator generator = new CMSSignedDataStreamGenerator();
            signers.forEach(generator::addSignerInfoGenerator);
            generator.addCertificates(new JcaCertStore(holders));
            generator.setBufferSize(7);
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            try (OutputStream content = generator.open(out, opaque)) {
                content.write(input("content"));
            }
            output(out.toByteArray());
            return "";
        }
        CMSSignedDataGenerator generator = new CMSSignedDataGenerator();
        signers.forEach(generator::addSignerInfoGenerator);
        generator.addCertificates(new JcaCertStore(holders));
        CMSSignedData made = generator.generate(new CMSProcessableByteArray(input("content")), opaque);
        if (is("counter")) {
            made = countersigned(made);
        }
        write(made.toASN1Structure());
        return "";
    }

    private CMSSignedData countersigned(CMSSignedData made) throws Exception {
        String[] counter = job.get("counter").split(",");
        CMSSignedDataGenerator generator = new CMSSignedDataGenerator();
        generator.addSignerInfoGenerator(new JcaSignerInfoGeneratorBuilder(
                new JcaDigestCalculatorProviderBuilder().setProvider("BC").build())
                .build(new JcaContentSignerBuilder(counter[1]).setProvider("BC").build(key(counter[0])),
                        holder(counter[0])));
        SignerInformation first = made.getSignerInfos().getSigners().iterator().next();
        SignerInformation both =
                SignerInformation.addCounterSigners(first, generator.generateCounterSigners(first));
        return CMSSignedData.replaceSigners(made, new SignerInformationStore(both));
    }

    private String certificates() throws Exception {
        List<X509CertificateHolder> holders = new ArrayList<>();
        for (String pair : job.get("certificates").split(",")) {
            holders.add(holder(pair));
        }
        CMSSignedDataGenerator generator = new CMSSignedDataGenerator();
        generator.addCertificates(new JcaCertStore(holders));
        write(generator.generate(new CMSAbsentContent(), false).toASN1Structure());
        return "";
    }

    /** Says digest and signature algorithm of each signature, by their OIDs. */
    private String verify() throws Exception {
        CMSSignedData signed;
        byte[] content;
        if (mime()) {
            MimeMessage message = message();
            SMIMESigned parsed = message.isMimeType("multipart/signed")
                    ? new SMIMESigned((MimeMultipart) message.getContent()) : new SMIMESigned(message);
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            parsed.getContent().writeTo(out);
            signed = parsed;
            content = out.toByteArray();
        } else if (job.get("form").equals("detached")) {
            content = input("content");
            signed = new CMSSignedData(new CMSProcessableByteArray(content), cms());
        } else {
            signed = new CMSSignedData(cms());
            content = (byte[]) signed.getSignedContent().getContent();
        }
        StringBuilder seen = new StringBuilder();
        for (SignerInformation signer : signed.getSignerInfos().getSigners()) {
            Collection<?> found = signed.getCertificates().getMatches(signer.getSID());
            X509CertificateHolder holder = (X509CertificateHolder) found.iterator().next();
            if (!signer.verify(new JcaSimpleSignerInfoVerifierBuilder().setProvider("BC").build(holder))) {
                throw new IllegalStateException("the signature does not hold");
            }
            seen.append(signer.getDigestAlgOID()).append(' ').append(signer.getEncryptionAlgOID()).append(' ');
        }
        output(content);
        return seen.toString();
    }

    // --- enveloped-data, authenticated-enveloped-data

    private static AlgorithmIdentifier oaep(String[] p) throws Exception {
        byte[] label = p.length > 2 ? p[2].getBytes("US-ASCII") : new byte[0];
        OAEPParameterSpec spec = new OAEPParameterSpec(p[0], "MGF1", new MGF1ParameterSpec(p[1]),
                new PSource.PSpecified(label));
        return new JcaAlgorithmParametersConverter().getAlgorithmIdentifier(PKCSObjectIdentifiers.id_RSAES_OAEP, spec);
    }

    private RecipientInfoGenerator recipient(String pair, int keyLength) throws Exception {
        X509Certificate certificate = certificate(pair);
        PublicKey theirs = certificate.getPublicKey();
        byte[] ski = ski(holder(pair));
        if (theirs.getAlgorithm().equals("RSA")) {
            JceKeyTransRecipientInfoGenerator made;
            if (is("oaep")) {
                AlgorithmIdentifier algorithm = oaep(job.get("oaep").split("/"));
                made = is("ski") ? new JceKeyTransRecipientInfoGenerator(ski, algorithm, theirs)
                        : new JceKeyTransRecipientInfoGenerator(certificate, algorithm);
            } else {
                made = is("ski") ? new JceKeyTransRecipientInfoGenerator(ski, theirs)
                        : new JceKeyTransRecipientInfoGenerator(certificate);
            }
            return made.setProvider("BC");
        }
        KeyPair ours;
        if (is("originator")) {
            String sender = job.get("originator");
            ours = new KeyPair(certificate(sender).getPublicKey(), key(sender));
        } else {
            KeyPairGenerator generator = KeyPairGenerator.getInstance(theirs.getAlgorithm(), "BC");
            if (theirs instanceof ECPublicKey) {
                generator.initialize(((ECPublicKey) theirs).getParams());
            }
            ours = generator.generateKeyPair();
        }
        ASN1ObjectIdentifier wrap = keyLength == 16 ? CMSAlgorithm.AES128_WRAP
                : keyLength == 24 ? CMSAlgorithm.AES192_WRAP : CMSAlgorithm.AES256_WRAP;
        JceKeyAgreeRecipientInfoGenerator made = new JceKeyAgreeRecipientInfoGenerator(
                new ASN1ObjectIdentifier(job.get("scheme")), ours.getPrivate(), ours.getPublic(), wrap);
        if (is("ski")) {
            made.addRecipient(ski, theirs);
        } else {
            made.addRecipient(certificate);
        }
        made.setProvider("BC");
        return is("originator") ? by(holder(job.get("originator")), made) : made;
    }

    /** Names the sender's certificate, where Bouncy Castle puts the key itself. */
    private static RecipientInfoGenerator by(X509CertificateHolder sender, RecipientInfoGenerator inner) {
        return key -> {
            KeyAgreeRecipientInfo made = (KeyAgreeRecipientInfo) inner.generate(key).getInfo();
            IssuerAndSerialNumber name = new IssuerAndSerialNumber(sender.toASN1Structure());
            return new RecipientInfo(new KeyAgreeRecipientInfo(new OriginatorIdentifierOrKey(name),
                    made.getUserKeyingMaterial(), made.getKeyEncryptionAlgorithm(),
                    made.getRecipientEncryptedKeys()));
        };
    }

    private String encrypt() throws Exception {
        int keyLength = Integer.parseInt(job.get("key-length"));
        List<RecipientInfoGenerator> recipients = new ArrayList<>();
        for (String pair : job.get("recipients").split(",")) {
            recipients.add(recipient(pair, keyLength));
        }
        ASN1ObjectIdentifier cipher = new ASN1ObjectIdentifier(job.get("cipher"));
        JceCMSContentEncryptorBuilder builder =
                is("bits") ? new JceCMSContentEncryptorBuilder(cipher, Integer.parseInt(job.get("bits")))
                        : new JceCMSContentEncryptorBuilder(cipher);
        OutputEncryptor encryptor = builder.setProvider("BC").build();
        CMSProcessableByteArray content = new CMSProcessableByteArray(input("content"));
        if (is("authenticated")) {
            OutputAEADEncryptor aead = (OutputAEADEncryptor) encryptor;
            CMSAuthEnvelopedDataGenerator generator = new CMSAuthEnvelopedDataGenerator();
            recipients.forEach(generator::addRecipientInfoGenerator);
            write(generator.generate(content, aead).toASN1Structure());
            return "";
        }
        if (mime()) {
            SMIMEEnvelopedGenerator generator = new SMIMEEnvelopedGenerator();
            recipients.forEach(generator::addRecipientInfoGenerator);
            write(generator.generate(part(), encryptor));
        } else if (job.get("format").equals("ber")) {
            CMSEnvelopedDataStreamGenerator generator = new CMSEnvelopedDataStreamGenerator();
            recipients.forEach(generator::addRecipientInfoGenerator);
            generator.setBufferSize(7);
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            try (OutputStream stream = generator.open(out, encryptor)) {
                stream.write(input("content"));
            }
            output(out.toByteArray());
        } else {
            CMSEnvelopedDataGenerator generator = new CMSEnvelopedDataGenerator();
            if (is("originator")) {
                generator.setOriginatorInfo(new OriginatorInfoGenerator(holder(job.get("originator"))).generate());
            }
            recipients.forEach(generator::addRecipientInfoGenerator);
            write(generator.generate(content, encryptor).toASN1Structure());
        }
        return "";
    }

    /** Says the OIDs of the cipher and of the key management. */
    private String decrypt() throws Exception {
        String pair = job.get("recipient");
        PrivateKey key = key(pair);
        boolean transport = key.getAlgorithm().equals("RSA");
        byte[] message;
        if (mime()) {
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            message().getInputStream().transferTo(out);
            message = out.toByteArray();
        } else {
            message = cms();
        }
        RecipientInformationStore all;
        Recipient opener;
        String cipher;
        if (ContentInfo.getInstance(message).getContentType().equals(CMSObjectIdentifiers.authEnvelopedData)) {
            CMSAuthEnvelopedData parsed = new CMSAuthEnvelopedData(message);
            all = parsed.getRecipientInfos();
            if (!transport) {
                // so in 1.72: there is no JceKeyAgreeAuthEnvelopedRecipient
                throw new UnsupportedOperationException("no key agreement in authenticated-enveloped-data");
            }
            opener = new JceKeyTransAuthEnvelopedRecipient(key).setProvider("BC");
            cipher = "";
        } else {
            CMSEnvelopedData parsed = new CMSEnvelopedData(message);
            all = parsed.getRecipientInfos();
            opener = transport ? new JceKeyTransEnvelopedRecipient(key).setProvider("BC")
                    : new JceKeyAgreeEnvelopedRecipient(key).setProvider("BC");
            cipher = parsed.getEncryptionAlgOID() + " ";
        }
        X509Certificate certificate = certificate(pair);
        RecipientId id = transport ? new JceKeyTransRecipientId(certificate) : new JceKeyAgreeRecipientId(certificate);
        RecipientInformation recipient = all.get(id);
        if (recipient == null) {
            throw new IllegalStateException("no recipient of ours");
        }
        output(recipient.getContent(opener));
        return cipher + recipient.getKeyEncryptionAlgOID();
    }

    // --- compressed-data

    private String compress() throws Exception {
        if (mime()) {
            write(new SMIMECompressedGenerator().generate(part(), new ZlibCompressor()));
        } else {
            write(new CMSCompressedDataGenerator()
                    .generate(new CMSProcessableByteArray(input("content")), new ZlibCompressor()).toASN1Structure());
        }
        return "";
    }

    private String decompress() throws Exception {
        if (mime()) {
            output(new SMIMECompressed(message()).getContent(new ZlibExpanderProvider()));
        } else {
            output(new CMSCompressedData(cms()).getContent(new ZlibExpanderProvider()));
        }
        return "";
    }
}
