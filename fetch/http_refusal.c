/*
 * Why S3 refuses a request: it says so in words of its own, a code in the body and the bucket's
 * region in a header, and without them an operator would have a bare number. Of transfers that
 * are signed, and of redirects that lead nowhere.
 */
#include "fetch/http_transfer.h"

#include "fetch/aws_keys.h"

#include <string.h>

static bool is_signed(const struct http_transfer *transfer)
{
        return transfer->pass && transfer->pass->sigv4;
}

void http_refusal_keep(struct http_transfer *transfer, const char *bytes, size_t length)
{
        size_t room = sizeof(transfer->refusal) - 1;

        if (!is_signed(transfer) || transfer->discarded >= room)
                return;
        room -= transfer->discarded;
        memcpy(transfer->refusal + transfer->discarded, bytes, length < room ? length : room);
}

bool http_refusal_is_region(const struct http_transfer *transfer, bool to_nowhere,
                            struct fetch_cause *ret)
{
        struct curl_header *region;

        if ((!is_signed(transfer) && !to_nowhere) ||
            curl_easy_header(transfer->easy, "x-amz-bucket-region", 0, CURLH_HEADER, -1, &region) !=
                CURLHE_OK)
                return false;
        fetch_cause_set(ret, FETCH_DENIED, "HTTP %d: the bucket is in the region %s", ret->status,
                        region->value);
        ret->final = true;
        return true;
}

void http_refusal_judge(const struct http_transfer *transfer, struct fetch_cause *ret)
{
        char code[64];

        if (!is_signed(transfer))
                return;
        if (aws_xml_value(transfer->refusal, "Code", code, sizeof(code)))
                fetch_cause_set(ret, ret->kind, "HTTP %d %s", ret->status, code);
        if (ret->status == 400 && !http_refusal_is_region(transfer, false, ret))
                ret->kind = FETCH_DENIED;
}
