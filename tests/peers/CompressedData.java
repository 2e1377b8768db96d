// Bouncy Castle as the other side of compressed messages. Run as a source file:
//   java -cp bcmail.jar:… CompressedData.java (der|ber|stream|open|open-stream IN OUT)…

import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;

import org.bouncycastle.cms.CMSCompressedData;
import org.bouncycastle.cms.CMSCompressedDataGenerator;
import org.bouncycastle.cms.CMSCompressedDataParser;
import org.bouncycastle.cms.CMSCompressedDataStreamGenerator;
import org.bouncycastle.cms.CMSProcessableByteArray;
import org.bouncycastle.cms.jcajce.ZlibCompressor;
import org.bouncycastle.cms.jcajce.ZlibExpanderProvider;

public class CompressedData {
    public static void main(String[] args) throws Exception {
        for (int i = 0; i + 2 < args.length; i += 3) {
            byte[] in = Files.readAllBytes(Path.of(args[i + 1]));
            Files.write(Path.of(args[i + 2]), turn(args[i], in));
        }
    }

    private static byte[] turn(String how, byte[] in) throws Exception {
        switch (how) {
            case "der":
            case "ber": {
                CMSCompressedData made = new CMSCompressedDataGenerator()
                        .generate(new CMSProcessableByteArray(in), new ZlibCompressor());
                return how.equals("der") ? made.toASN1Structure().getEncoded("DER") : made.getEncoded();
            }
            case "stream": {
                ByteArrayOutputStream out = new ByteArrayOutputStream();
                CMSCompressedDataStreamGenerator generator = new CMSCompressedDataStreamGenerator();
                generator.setBufferSize(1000);
                try (OutputStream content = generator.open(out, new ZlibCompressor())) {
                    content.write(in);
                }
                return out.toByteArray();
            }
            case "open":
                return new CMSCompressedData(in).getContent(new ZlibExpanderProvider());
            case "open-stream":
                try (InputStream content = new CMSCompressedDataParser(in)
                        .getContent(new ZlibExpanderProvider()).getContentStream()) {
                    return content.readAllBytes();
                }
            default:
                throw new IllegalArgumentException(how);
        }
    }
}
