// Opens an AuthEnvelopedData (DER, standard input) with the PKCS#8 key in the file that is named, and writes its content.

import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.Security;
import java.security.spec.PKCS8EncodedKeySpec;
import org.bouncycastle.cms.CMSAuthEnvelopedData;
import org.bouncycastle.cms.RecipientInformation;
import org.bouncycastle.cms.jcajce.JceKeyTransAuthEnvelopedRecipient;
import org.bouncycastle.jce.provider.BouncyCastleProvider;

public class BouncyCastle {
    public static void main(String[] args) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        byte[] der = Files.readAllBytes(Path.of(args[0]));
        PrivateKey key = KeyFactory.getInstance("RSA").generatePrivate(new PKCS8EncodedKeySpec(der));
        CMSAuthEnvelopedData message = new CMSAuthEnvelopedData(System.in.readAllBytes());
        RecipientInformation recipient = message.getRecipientInfos().iterator().next();
        JceKeyTransAuthEnvelopedRecipient opener = new JceKeyTransAuthEnvelopedRecipient(key);
        System.out.write(recipient.getContent(opener.setProvider("BC")));
        System.out.flush();
    }
}
