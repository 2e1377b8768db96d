// Bouncy Castle as a peer for signed messages. Arguments, any number of times:
//   sign DIGEST-AND-KEY KEY CERTIFICATE CONTENT OUT    (an opaque SignedData in DER)
//   verify MESSAGE CERTIFICATE OUT                     (the content, if the one signature holds)
//   countersign DIGEST-AND-KEY KEY CERTIFICATE MESSAGE OUT    (its first signature, or the last countersignature upon that)
// Keys and certificates are PEM.

import java.io.FileReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.PrivateKey;
import java.security.Security;
import java.util.List;
import org.bouncycastle.asn1.DERSet;
import org.bouncycastle.asn1.cms.Attribute;
import org.bouncycastle.asn1.cms.AttributeTable;
import org.bouncycastle.asn1.cms.CMSAttributes;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaCertStore;
import org.bouncycastle.cms.CMSProcessableByteArray;
import org.bouncycastle.cms.CMSSignedData;
import org.bouncycastle.cms.CMSSignedDataGenerator;
import org.bouncycastle.cms.SignerInformation;
import org.bouncycastle.cms.SignerInformationStore;
import org.bouncycastle.cms.jcajce.JcaSignerInfoGeneratorBuilder;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoVerifierBuilder;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.openssl.PEMParser;
import org.bouncycastle.openssl.jcajce.JcaPEMKeyConverter;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;
import org.bouncycastle.util.CollectionStore;
import org.bouncycastle.util.Store;

public class SignedData {
    public static void main(String[] args) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        int at = 0;
        while (at < args.length) {
            if (args[at].equals("sign")) {
                sign(args[at + 1], args[at + 2], args[at + 3], Path.of(args[at + 4]), Path.of(args[at + 5]));
                at += 6;
            } else if (args[at].equals("countersign")) {
                countersign(args[at + 1], args[at + 2], args[at + 3], Path.of(args[at + 4]), Path.of(args[at + 5]));
                at += 6;
            } else {
                verify(Path.of(args[at + 1]), args[at + 2], Path.of(args[at + 3]));
                at += 4;
            }
        }
    }

    static Object pem(String file) throws Exception {
        try (PEMParser parser = new PEMParser(new FileReader(file))) {
            return parser.readObject();
        }
    }

    static void sign(String algorithm, String key, String certificate, Path content, Path out) throws Exception {
        PrivateKey secret = new JcaPEMKeyConverter().setProvider("BC").getPrivateKey((PrivateKeyInfo) pem(key));
        X509CertificateHolder holder = (X509CertificateHolder) pem(certificate);
        CMSSignedDataGenerator generator = new CMSSignedDataGenerator();
        generator.addSignerInfoGenerator(
            new JcaSignerInfoGeneratorBuilder(new JcaDigestCalculatorProviderBuilder().setProvider("BC").build())
                .build(new JcaContentSignerBuilder(algorithm).setProvider("BC").build(secret), holder));
        generator.addCertificates(new JcaCertStore(List.of(holder)));
        CMSSignedData made = generator.generate(new CMSProcessableByteArray(Files.readAllBytes(content)), true);
        Files.write(out, made.getEncoded("DER"));
    }

    static void countersign(String algorithm, String key, String certificate, Path message, Path out) throws Exception {
        PrivateKey secret = new JcaPEMKeyConverter().setProvider("BC").getPrivateKey((PrivateKeyInfo) pem(key));
        X509CertificateHolder holder = (X509CertificateHolder) pem(certificate);
        CMSSignedDataGenerator generator = new CMSSignedDataGenerator();
        generator.addSignerInfoGenerator(
            new JcaSignerInfoGeneratorBuilder(new JcaDigestCalculatorProviderBuilder().setProvider("BC").build())
                .build(new JcaContentSignerBuilder(algorithm).setProvider("BC").build(secret), holder));
        CMSSignedData signed = new CMSSignedData(Files.readAllBytes(message));
        SignerInformation signer = signed.getSignerInfos().getSigners().iterator().next();
        SignerInformation last = signer;
        SignerInformationStore upon = last.getCounterSignatures();
        boolean nested = upon.size() > 0;
        if (nested) {
            last = upon.getSigners().iterator().next();
        }
        SignerInformation made = SignerInformation.addCounterSigners(last, generator.generateCounterSigners(last));
        if (nested) {
            // the one it is upon is put back in its place, with the new one
            Attribute with = new Attribute(CMSAttributes.counterSignature, new DERSet(made.toASN1Structure()));
            signer = SignerInformation.replaceUnsignedAttributes(
                signer, new AttributeTable(signer.getUnsignedAttributes().toHashtable()).remove(CMSAttributes.counterSignature)
                    .add(with.getAttrType(), with.getAttrValues().getObjectAt(0)));
        } else {
            signer = made;
        }
        CMSSignedData result = CMSSignedData.replaceSigners(signed, new SignerInformationStore(signer));
        Store<X509CertificateHolder> all = new CollectionStore<>(
            java.util.stream.Stream.concat(signed.getCertificates().getMatches(null).stream(), List.of(holder).stream()).toList());
        result = CMSSignedData.replaceCertificatesAndCRLs(result, all, null, null);
        Files.write(out, result.getEncoded());
    }

    static void verify(Path message, String certificate, Path out) throws Exception {
        CMSSignedData signed = new CMSSignedData(Files.readAllBytes(message));
        SignerInformation signer = signed.getSignerInfos().getSigners().iterator().next();
        X509CertificateHolder holder = (X509CertificateHolder) pem(certificate);
        if (!signer.verify(new JcaSimpleSignerInfoVerifierBuilder().setProvider("BC").build(holder))) {
            throw new IllegalStateException("the signature does not hold");
        }
        Files.write(out, (byte[]) signed.getSignedContent().getContent());
    }
}
