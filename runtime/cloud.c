/*
 * What clouds put into the PROXY protocol header, in TLVs of their own: out comes the text by which people know it.
 */
#include "spcd.h"

#include <string.h>

enum { TLV_GCP = 0xe0, TLV_AWS = 0xea, TLV_AZURE = 0xee, CLOUD_ENDPOINT = 1, CLOUD_ROOM = 256 };

/* The bytes of the TLV of a cloud, without its subtype if it has one, which is to be that of an endpoint; how many. */
static size_t
read_cloud(struct session *s, u32 type, bool subtyped, u8 data[CLOUD_ROOM])
{
    struct output out = {data, CLOUD_ROOM, 0};
    if (!introduction_put_tlv(s, type, &out) || out.used > CLOUD_ROOM || out.used < 1)
        return 0;
    if (!subtyped)
        return out.used;
    if (data[0] != CLOUD_ENDPOINT)
        return 0;
    memmove(data, data + 1, out.used - 1);
    return out.used - 1;
}

bool
cloud_put_aws(struct session *s, struct output *out)
{
    u8 data[CLOUD_ROOM];
    size_t size = read_cloud(s, TLV_AWS, true, data);
    output_put(out, data, size);
    return size > 0;
}

/* Its number is little-endian. */
bool
cloud_put_azure(struct session *s, struct output *out)
{
    u8 data[CLOUD_ROOM];
    if (read_cloud(s, TLV_AZURE, true, data) != 4)
        return false;
    output_print(out, "%u", data[0] | (u32)data[1] << 8 | (u32)data[2] << 16 | (u32)data[3] << 24);
    return true;
}

/* Its number is big-endian. */
bool
cloud_put_google(struct session *s, struct output *out)
{
    u8 data[CLOUD_ROOM];
    u64 number = 0;
    if (read_cloud(s, TLV_GCP, false, data) != sizeof number)
        return false;
    for (u32 i = 0; i < sizeof number; i++)
        number = number << 8 | data[i];
    output_print(out, "%llu", (unsigned long long)number);
    return true;
}
